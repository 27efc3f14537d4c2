// SPDX-License-Identifier: Apache-2.0
// Trapped page-table writes: the guest kernel sees its page tables mapped read-only and may store to them all the same.
// The store is decoded, its result validated as an mmu_update would be, and carried out by update_entry().
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/instruction.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/store.hpp"

namespace parapet::nucleus {

namespace {

bool is_page_table(const Frame& frame) {
    return frame.owner() == FrameOwner::domain && frame.is(Frame::VALIDATED) && frame.type() == FrameType::l1;
}

/// The table behind `va`, if it is one that this store should be emulated on.
bool find_table(Vcpu& vcpu, GuestVa va, Mfn& table) {
    const Domain& domain = *vcpu.domain;
    const Walk found = walk(domain, vcpu.kernel_root, va);
    if (!found.mapped || found.levels != 4 || found.entry[3].writable())
        return false;
    table = found.entry[3].mfn();
    return domain.frames.contains(table) && is_page_table(domain.frames[table]);
}

/// Does the store hit `va`, and lie within one entry?
bool within_entry(const StoreTarget& target, GuestVa va) {
    return va.address - target.address < target.size && (target.address & (target.size - 1)) == 0;
}

} // namespace

bool emulate_page_table_write(Vcpu& vcpu, GuestVa va) {
    Mfn table;
    Instruction insn;
    StoreTarget target{};
    if (!find_table(vcpu, va, table) || !fetch_instruction(vcpu, insn))
        return false;
    Regs regs = *vcpu.regs; // changed for good only when the entry is
    if (!store_target(insn, regs, target) || !within_entry(target, va))
        return false;
    u64 source = 0;
    if (is_movs(insn) && !copy_from_guest(vcpu, &source, {regs.rsi & size_mask(insn.address_size)}, target.size))
        return false;

    const auto index = static_cast<unsigned>((target.address & (PAGE_SIZE - 1)) / sizeof(Pte));
    const auto shift = static_cast<unsigned>((target.address & (sizeof(Pte) - 1)) * 8);
    const u64 mask = size_mask(target.size) << shift;
    const Pte* slot = vcpu.domain->machine->table(table) + index;
    const u64 old = __atomic_load_n(&slot->raw, __ATOMIC_RELAXED);
    const StoreEffect effect = execute_store(insn, target, (old & mask) >> shift, source, regs);
    const Pte value{(old & ~mask) | ((effect.value << shift) & mask)};

    // What the processor sets while we compute is kept, unless the store itself is about those bits.
    constexpr u64 MARKS = Pte::ACCESSED | Pte::DIRTY;
    const bool keep_marks = effect.modifies && ((value.raw ^ old) & MARKS) == 0;
    if (value.raw != old && update_entry(vcpu, table, index, value, keep_marks) != 0)
        return false;

    *vcpu.regs = regs;
    if (!is_stos(insn) && !is_movs(insn)) {
        finish_instruction(vcpu, insn.length);
        return true;
    }
    if (finish_element(vcpu, insn, target.size, is_movs(insn), true) == Emulation::done)
        finish_instruction(vcpu, insn.length);
    return true;
}

} // namespace parapet::nucleus
