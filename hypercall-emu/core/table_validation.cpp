// SPDX-License-Identifier: Apache-2.0
// Page-table entries: what one may say, and which references it holds (docs/architecture.md: invariants 1-3).
#include "hypercall-emu/core/table_validation.hpp"

#include "hypercall-emu/core/io_memory.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {

namespace {

/// Flags that a present entry may not have, as Xen for a domain with devices: no large pages, no cache attributes for
/// tables. In the last level cache attributes are without effect, since every entry of the processor's PAT says
/// write-back (vmm/vcpu_setup.cpp), and the global bit is dropped (adjust_entry).
u64 forbidden_flags(unsigned level) {
    return level == 1 ? 0 : Pte::PWT | Pte::PCD | Pte::PSE | Pte::GLOBAL;
}

/// L4 slots of the hypervisor hole: not the guest's to fill.
bool is_hole_slot(unsigned level, unsigned index) {
    return level == 4 && index >= doorbell::HOLE_FIRST_SLOT && index <= doorbell::HOLE_LAST_SLOT;
}

unsigned level_of(FrameType type) {
    return static_cast<unsigned>(type) - static_cast<unsigned>(FrameType::l1) + 1;
}

/// As the guest writes a mapping, so we store it, but for the user bit (set for RAM, clear for I/O memory) and the
/// global bit.
[[gnu::always_inline]] inline Pte adjust_entry(const Domain& domain, Pte value, unsigned level) {
    if (!value.present()) {
        return value;
    }
    if (level == 1 && is_io_memory(domain, value.mfn())) {
        return {value.raw & ~(Pte::USER | Pte::GLOBAL)}; // out of ring 3's reach: each access faults (io_memory.cpp)
    }
    // A 64-bit guest kernel runs at ring 3: all of its mappings must be user mappings to the processor.
    Pte adjusted{value.raw | Pte::USER};
    if (level == 1) {
        adjusted.raw &= ~Pte::GLOBAL;
    }
    return adjusted;
}

/// An entry above the last level. One that names its own table, a linear page table, holds no reference, as it cannot
/// outlive its table; only where the domain has that option, and never writable, since what lies behind it are tables.
/// (Out of line: most entries are of the last level.)
[[gnu::noinline]] Status acquire_table(Vcpu& vcpu, Mfn table, Pte entry, unsigned level) {
    if ((entry.raw & forbidden_flags(level)) != 0) {
        return -abi::XEN_EINVAL;
    }
    if (entry.mfn() == table) {
        return vcpu.domain->linear_tables && !entry.writable() ? 0 : -abi::XEN_EINVAL;
    }
    return acquire_type(vcpu, entry.mfn(), table_type(level - 1));
}

[[gnu::noinline]] void release_table(Vcpu& vcpu, Mfn table, Pte entry, unsigned level) {
    if (entry.mfn() != table) {
        release_type(vcpu, entry.mfn(), table_type(level - 1));
    }
}

Status acquire_target(Vcpu& vcpu, Mfn table, Pte entry, unsigned level) {
    if (level > 1) {
        return acquire_table(vcpu, table, entry, level);
    }
    if (maps_io_memory(entry)) {
        note_io_mapping(*vcpu.domain);
        return 0;
    }
    if (!entry.writable()) {
        return acquire_frame(*vcpu.domain, entry.mfn()) ? 0 : -abi::XEN_EINVAL;
    }
    return acquire_type(vcpu, entry.mfn(), FrameType::writable);
}

void release_target(Vcpu& vcpu, Mfn table, Pte entry, unsigned level) {
    if (level > 1) {
        release_table(vcpu, table, entry, level);
    } else if (maps_io_memory(entry)) {
        drop_io_mapping(*vcpu.domain);
    } else if (!entry.writable()) {
        release_frame(*vcpu.domain, entry.mfn());
    } else {
        note_stale_tlbs(*vcpu.domain);
        release_type(vcpu, entry.mfn(), FrameType::writable);
    }
}

/// What the guest is told, as by Xen, where acquire_target() said `status`: a page that cannot be mapped so is busy;
/// what is no RAM would be a device's, which it may not have.
Status refusal(const Domain& domain, Pte entry, unsigned level, Status status) {
    if (level > 1) {
        return status;
    }
    return domain.is_ram(entry.mfn()) ? -abi::XEN_EBUSY : -abi::XEN_EPERM;
}

/// Same frame, same rights over it: nothing to acquire or release. Whether an entry above the last level is writable
/// makes no difference to its target, but where that is its own table.
bool same_target(Mfn table, Pte left, Pte right, unsigned level) {
    return left.present() && right.present() && left.mfn() == right.mfn() &&
           ((level > 1 && right.mfn() != table) || left.writable() == right.writable());
}

/// Put `value` in place of whatever the slot holds by now; the processor may race for accessed and dirty bits only.
/// Returns what was there.
Pte exchange_entry(Machine& machine, Pte* slot, Pte value, bool preserve_ad) {
    for (;;) {
        const Pte old{__atomic_load_n(&slot->raw, __ATOMIC_RELAXED)};
        Pte wanted = value;
        if (preserve_ad && old.present() && value.present()) {
            wanted.raw |= old.raw & (Pte::ACCESSED | Pte::DIRTY);
        }
        if (machine.replace_pte(slot, old, wanted)) {
            return old;
        }
    }
}

} // namespace

Status update_entry(Vcpu& vcpu, Mfn table, unsigned index, Pte value, bool preserve_ad) {
    Domain& domain = *vcpu.domain;
    const unsigned level = level_of(domain.frames[table].type());
    if (is_hole_slot(level, index)) {
        return -abi::XEN_EINVAL;
    }
    Pte* slot = domain.machine->table(table) + index;
    const Pte old{__atomic_load_n(&slot->raw, __ATOMIC_RELAXED)};
    const Pte wanted = adjust_entry(domain, value, level);

    if (same_target(table, old, wanted, level)) {
        if ((wanted.raw & forbidden_flags(level)) != 0) {
            return -abi::XEN_EINVAL;
        }
        (void)exchange_entry(*domain.machine, slot, wanted, preserve_ad);
        return 0;
    }
    if (wanted.present()) {
        const Status status = acquire_target(vcpu, table, wanted, level);
        if (status != 0) {
            return refusal(domain, wanted, level, status);
        }
    }
    const Pte gone = exchange_entry(*domain.machine, slot, wanted, preserve_ad);
    if (gone.present()) {
        release_target(vcpu, table, gone, level);
    }
    return 0;
}

Status validate_table(Vcpu& vcpu, Mfn mfn, FrameType type) {
    Domain& domain = *vcpu.domain;
    Machine& machine = *domain.machine;
    const unsigned level = level_of(type);
    Pte* table = machine.table(mfn);
    for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
        const Pte entry = table[index];
        if (!entry.present() || is_hole_slot(level, index)) {
            continue;
        }
        const Pte adjusted = adjust_entry(domain, entry, level);
        const Status status = acquire_target(vcpu, mfn, adjusted, level);
        if (status != 0) {
            while (index-- > 0) {
                if (table[index].present() && !is_hole_slot(level, index)) {
                    release_target(vcpu, mfn, table[index], level);
                }
            }
            return refusal(domain, adjusted, level, status);
        }
        if (adjusted != entry) {
            machine.write_pte(table + index, adjusted);
        }
    }
    if (level == 4) {
        for (u64 slot = doorbell::HOLE_FIRST_SLOT; slot <= doorbell::HOLE_LAST_SLOT; slot++) {
            machine.write_pte(table + slot, Pte{domain.hole_template[slot - doorbell::HOLE_FIRST_SLOT]});
        }
    }
    return 0;
}

void invalidate_table(Vcpu& vcpu, Mfn mfn, FrameType type) {
    const unsigned level = level_of(type);
    Machine& machine = *vcpu.domain->machine;
    Pte* table = machine.table(mfn);
    for (unsigned index = 0; index < ENTRIES_PER_TABLE; index++) {
        const Pte entry = table[index];
        if (is_hole_slot(level, index)) {
            machine.write_pte(table + index, Pte{}); // the frame becomes the guest's to read: show nothing of ours
        } else if (entry.present()) {
            release_target(vcpu, mfn, entry, level);
        }
    }
}

} // namespace parapet::nucleus
