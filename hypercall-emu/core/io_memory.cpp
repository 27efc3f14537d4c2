// SPDX-License-Identifier: Apache-2.0
// Accesses to I/O memory, emulated; see io_memory.hpp.
#include "hypercall-emu/core/io_memory.hpp"

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/instruction.hpp"
#include "hypercall-emu/core/load.hpp"
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/store.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {

namespace {

/// Physical address bits, where CPUID does not say.
constexpr u32 DEFAULT_ADDRESS_BITS = 36;

u32 address_bits(const Domain& domain) {
    u32 leaf[4];
    guest_cpuid(domain, 0x80000008, 0, leaf);
    const u32 bits = leaf[0] & 0xff;
    return bits != 0 ? bits : DEFAULT_ADDRESS_BITS;
}

void choose_page_fault_paths(Domain& domain) {
    for (u32 i = 0; i < domain.nr_vcpus; i++)
        choose_page_fault_path(*domain.vcpus[i]);
}

struct Mapping {
    bool found;      ///< I/O memory behind the address
    bool writable;   ///< at every level
    bool executable; ///< at every level
    Walk walk;
};

Mapping find_io_memory(const Vcpu& vcpu, GuestVa va) {
    Mapping mapping{};
    mapping.walk = walk(*vcpu.domain, vcpu.kernel_mode ? vcpu.kernel_root : vcpu.user_root, va);
    const Walk& found = mapping.walk;
    mapping.found = found.levels == 4 && found.entry[3].present() && is_io_memory(*vcpu.domain, found.entry[3].mfn());
    mapping.writable = mapping.executable = true;
    for (unsigned i = 0; i < found.levels; i++) {
        mapping.writable = mapping.writable && found.entry[i].writable();
        mapping.executable = mapping.executable && (found.entry[i].raw & Pte::NX) == 0;
    }
    return mapping;
}

/// As the processor would on an access that it allows.
void mark_accessed(Vcpu& vcpu, const Walk& found, bool write) {
    const Pte entry = found.entry[3];
    const u64 wanted = Pte::ACCESSED | (write ? Pte::DIRTY : 0);
    if ((entry.raw & wanted) != wanted)
        (void)vcpu.domain->machine->replace_pte(found.slot, entry, Pte{entry.raw | wanted});
}

/// Does the operand contain the address that faulted, and lie in I/O memory to its end?
bool covers(const Vcpu& vcpu, u64 address, unsigned size, GuestVa va, bool write) {
    const u64 last = address + size - 1;
    if (va.address - address >= size)
        return false;
    const Mapping end = find_io_memory(vcpu, {last});
    return (address ^ last) < PAGE_SIZE || (end.found && (!write || end.writable));
}

/// One element of movs out of I/O memory. The processor reads before it writes, so the source is what faulted.
void move_string_out(Vcpu& vcpu, const Instruction& insn, unsigned size) {
    const GuestVa to{vcpu.regs->rdi & size_mask(insn.address_size)};
    const u64 ones = ~0ULL;
    const Mapping target = find_io_memory(vcpu, to);
    const bool dropped = target.found && target.writable;
    if (!dropped && !copy_to_guest(vcpu, to, &ones, size)) {
        const bool present = target.found || walk(*vcpu.domain, vcpu.kernel_root, to).mapped;
        deliver_page_fault(vcpu, to.address, abi::PFEC_write_access | (present ? abi::PFEC_page_present : 0u));
        return;
    }
    if (finish_element(vcpu, insn, size, true, true) == Emulation::done)
        finish_instruction(vcpu, insn.length);
}

bool emulate_write(Vcpu& vcpu, const Instruction& insn, GuestVa va) {
    StoreTarget target{};
    Regs regs = *vcpu.regs;
    unsigned size = plain_store_size(insn);
    if (size != 0) { // its value does not matter
        if (!covers(vcpu, insn.address, size, va, true))
            return false;
        finish_instruction(vcpu, insn.length);
        return true;
    }
    if (!store_target(insn, regs, target) || !covers(vcpu, target.address, target.size, va, true))
        return false;
    (void)execute_store(insn, target, ~0ULL, 0, regs);
    *vcpu.regs = regs;
    const bool string = is_stos(insn) || is_movs(insn);
    if (!string || finish_element(vcpu, insn, target.size, is_movs(insn), true) == Emulation::done)
        finish_instruction(vcpu, insn.length);
    return true;
}

bool emulate_read(Vcpu& vcpu, const Instruction& insn, GuestVa va) {
    Load load{};
    if (!find_load(insn, *vcpu.regs, load) || !covers(vcpu, load.address, load.size, va, false))
        return false;
    if (is_movs(insn)) {
        move_string_out(vcpu, insn, load.size);
        return true;
    }
    if (load.vector) {
        if (!vcpu.domain->machine->fill_vector_register(insn.reg, load.size))
            return false;
        finish_instruction(vcpu, insn.length);
        return true;
    }
    execute_load(insn, load, *vcpu.regs);
    if (!is_lods(insn) || finish_element(vcpu, insn, load.size, true, false) == Emulation::done)
        finish_instruction(vcpu, insn.length);
    return true;
}

} // namespace

bool is_physical_address(const Domain& domain, Mfn mfn) {
    return mfn.number < (1ULL << (address_bits(domain) - PAGE_SHIFT));
}

void note_io_mapping(Domain& domain) {
    if (domain.io_mappings++ == 0)
        choose_page_fault_paths(domain);
}

void drop_io_mapping(Domain& domain) {
    if (--domain.io_mappings == 0)
        choose_page_fault_paths(domain);
}

bool access_io_memory(Vcpu& vcpu, GuestVa va) {
    const Mapping mapping = find_io_memory(vcpu, va);
    if (!mapping.found)
        return false;
    const u64 error = vcpu.regs->error;
    if ((error & abi::PFEC_insn_fetch) != 0) {
        if (!mapping.executable)
            return false;
        deliver_exception(vcpu, abi::TRAP_invalid_op, 0); // what all ones are as an instruction
        return true;
    }
    const bool write = (error & abi::PFEC_write_access) != 0;
    const bool code64 = vcpu.kernel_mode || (vcpu.regs->cs & 0xffff) == abi::x64::FLAT_USER_CS64;
    Instruction insn;
    if ((write && !mapping.writable) || !code64 || !fetch_instruction(vcpu, insn))
        return false;
    mark_accessed(vcpu, mapping.walk, write);
    if (!write && emulate_read(vcpu, insn, va))
        return true;
    // Where an instruction reads and writes, QEMU's emulated processor may tell of the reading.
    return mapping.writable && emulate_write(vcpu, insn, va);
}

} // namespace parapet::nucleus
