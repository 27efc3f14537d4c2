// SPDX-License-Identifier: Apache-2.0
// Fetching and finishing emulated instructions.
#include "hypercall-emu/core/instruction.hpp"

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {

namespace {

constexpr unsigned RSI = 6, RDI = 7, RCX = 1;
constexpr u64 DR6_SINGLE_STEP = 1ULL << 14;
constexpr u64 DR6_FIXED = 0xffff0ff0;

/// Step an address register by an element; only its low half, with an address-size prefix.
void step(Regs& regs, unsigned number, u64 by, unsigned address_size) {
    write_register(regs, number, address_size, true, general_register(regs, number) + by);
}

} // namespace

bool fetch_instruction(Vcpu& vcpu, Instruction& insn) {
    const Regs& regs = *vcpu.regs;
    u8 bytes[MAX_INSTRUCTION];
    const u64 to_page_end = PAGE_SIZE - (regs.rip & (PAGE_SIZE - 1));
    const unsigned first = static_cast<unsigned>(min_of<u64>(to_page_end, MAX_INSTRUCTION));
    if (!copy_from_guest(vcpu, bytes, {regs.rip}, first))
        return false;
    Decoding decoding = decode(bytes, first, regs, nullptr, insn);
    if (decoding == Decoding::truncated && first < MAX_INSTRUCTION) {
        if (!copy_from_guest(vcpu, bytes + first, {regs.rip + first}, MAX_INSTRUCTION - first))
            return false;
        decoding = decode(bytes, MAX_INSTRUCTION, regs, nullptr, insn);
    }
    return decoding == Decoding::ok;
}

void finish_instruction(Vcpu& vcpu, unsigned length) {
    Regs& regs = *vcpu.regs;
    regs.rip += length;
    regs.rflags &= ~rflags::RF;
    if ((regs.rflags & rflags::TF) != 0) {
        vcpu.dr[6] |= DR6_FIXED | DR6_SINGLE_STEP;
        deliver_exception(vcpu, abi::TRAP_debug, 0);
    }
}

Emulation finish_element(Vcpu& vcpu, const Instruction& insn, unsigned size, bool source, bool destination) {
    Regs& regs = *vcpu.regs;
    const u64 by = (regs.rflags & rflags::DF) != 0 ? -static_cast<u64>(size) : size;
    if (source)
        step(regs, RSI, by, insn.address_size);
    if (destination)
        step(regs, RDI, by, insn.address_size);
    if (!insn.rep && !insn.repne)
        return Emulation::done;
    step(regs, RCX, ~0ULL, insn.address_size);
    return count_exhausted(vcpu, insn) ? Emulation::done : Emulation::again;
}

bool count_exhausted(const Vcpu& vcpu, const Instruction& insn) {
    if (!insn.rep && !insn.repne)
        return false;
    return (vcpu.regs->rcx & size_mask(insn.address_size)) == 0;
}

} // namespace parapet::nucleus
