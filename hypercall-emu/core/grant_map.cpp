// SPDX-License-Identifier: Apache-2.0
// Mapping grants: an L1 entry of the guest's is pointed at the granted frame. The frame table counts the mapping as any
// other, since the domain can only map what it granted to itself; the entry's marks and the handle are what is extra.
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/tlb.hpp"

namespace parapet::nucleus {

namespace {

struct Slot {
    Mfn table;
    unsigned index;
};

/// The L1 entry that `host_addr` names: by its machine address, or by the virtual address that it maps.
bool find_slot(const Vcpu& vcpu, u64 host_addr, u32 flags, Slot& slot) {
    const Domain& domain = *vcpu.domain;
    if ((flags & abi::GNTMAP_contains_pte) != 0) {
        slot.table = {host_addr >> PAGE_SHIFT};
        slot.index = static_cast<unsigned>((host_addr & (PAGE_SIZE - 1)) / sizeof(Pte));
        if (host_addr % sizeof(Pte) != 0 || !domain.frames.domain_owns(slot.table))
            return false;
    } else {
        const Walk found = walk(domain, vcpu.kernel_root, {host_addr});
        if (found.levels != 4)
            return false;
        slot.table = found.table;
        slot.index = table_index(host_addr, 1);
    }
    const Frame& frame = domain.frames[slot.table];
    return frame.is(Frame::VALIDATED) && frame.type() == FrameType::l1;
}

Pte entry_at(const Domain& domain, const Slot& slot) {
    return {__atomic_load_n(&domain.machine->table(slot.table)[slot.index].raw, __ATOMIC_RELAXED)};
}

GrantTable::Mapping* free_mapping(GrantTable& table) {
    for (u32 i = 0; i < table.mappings_end; i++) {
        if (table.mappings[i].flags == 0)
            return &table.mappings[i];
    }
    return table.mappings_end < GrantTable::MAX_MAPPINGS ? &table.mappings[table.mappings_end++] : nullptr;
}

/// The marks of a grant follow from who still maps it.
void refresh_marks(const Domain& domain, u32 ref) {
    bool reading = false;
    bool writing = false;
    for (u32 i = 0; i < domain.grants.mappings_end; i++) {
        const GrantTable::Mapping& mapping = domain.grants.mappings[i];
        if (mapping.flags == 0 || mapping.ref != ref)
            continue;
        reading = true;
        writing = writing || (mapping.flags & abi::GNTMAP_readonly) == 0;
    }
    mark_grant(domain, ref, reading, writing);
}

Pte mapping_entry(const Grant& grant, u32 flags) {
    u64 bits = Pte::PRESENT | Pte::USER | Pte::ACCESSED | Pte::DIRTY;
    if ((flags & abi::GNTMAP_readonly) == 0)
        bits |= Pte::RW;
    constexpr unsigned FIRST_AVAILABLE_FLAG = 16, FIRST_AVAILABLE_BIT = 9; // XENFEAT_gnttab_map_avail_bits
    bits |= (static_cast<u64>(flags) >> FIRST_AVAILABLE_FLAG << FIRST_AVAILABLE_BIT) & Pte::AVAIL;
    return Pte::make(grant.frame, bits);
}

/// A mapping for a device holds the frame as it is, since no page table does.
bool hold_for_device(Vcpu& vcpu, Mfn frame, u32 flags) {
    return (flags & abi::GNTMAP_readonly) != 0 ? acquire_frame(*vcpu.domain, frame)
                                               : acquire_type(vcpu, frame, FrameType::writable) == 0;
}

void release_from_device(Vcpu& vcpu, Mfn frame, u32 flags) {
    if ((flags & abi::GNTMAP_readonly) != 0)
        release_frame(*vcpu.domain, frame);
    else
        release_type(vcpu, frame, FrameType::writable);
}

bool map_for_host(Vcpu& vcpu, const Grant& grant, const abi::gnttab_map_grant_ref& op) {
    Slot slot{};
    return find_slot(vcpu, op.host_addr, op.flags, slot) &&
           update_entry(vcpu, slot.table, slot.index, mapping_entry(grant, op.flags), false) == 0;
}

struct Unmapping {
    u32 handle;
    u64 host_addr, dev_bus_addr; ///< 0: not that one
    u64 new_addr;                ///< whose entry moves to host_addr; 0: none
};

/// Take the mapping's entry away, at whatever address the guest says that it is.
bool unmap_from_host(Vcpu& vcpu, const GrantTable::Mapping& mapping, const Unmapping& what) {
    const Domain& domain = *vcpu.domain;
    Slot slot{};
    if (!find_slot(vcpu, what.host_addr, mapping.flags, slot))
        return false;
    const Pte entry = entry_at(domain, slot);
    if (!entry.present() || entry.mfn().number != mapping.frame)
        return false;
    if (what.new_addr == 0)
        return update_entry(vcpu, slot.table, slot.index, Pte{}, false) == 0;
    Slot from{};
    if ((mapping.flags & abi::GNTMAP_contains_pte) != 0 || !find_slot(vcpu, what.new_addr, 0, from) ||
        (from.table == slot.table && from.index == slot.index))
        return false;
    // The mapping at new_addr moves: it is made at host_addr first, and then taken away.
    return update_entry(vcpu, slot.table, slot.index, entry_at(domain, from), false) == 0 &&
           update_entry(vcpu, from.table, from.index, Pte{}, false) == 0;
}

int16_t unmap(Vcpu& vcpu, const Unmapping& what) {
    Domain& domain = *vcpu.domain;
    if (what.handle >= domain.grants.mappings_end || domain.grants.mappings[what.handle].flags == 0)
        return abi::GNTST_bad_handle;
    GrantTable::Mapping& mapping = domain.grants.mappings[what.handle];
    const Mfn frame{mapping.frame};
    const bool from_device = what.dev_bus_addr != 0 && (mapping.flags & abi::GNTMAP_device_map) != 0;
    if (from_device && what.dev_bus_addr != frame.address())
        return abi::GNTST_bad_dev_addr;
    if (what.host_addr != 0 && (mapping.flags & abi::GNTMAP_host_map) != 0) {
        if (!unmap_from_host(vcpu, mapping, what))
            return abi::GNTST_general_error;
        flush_vcpus(domain, ALL_VCPUS);
        mapping.flags &= ~abi::GNTMAP_host_map;
    }
    if (from_device) {
        release_from_device(vcpu, frame, mapping.flags);
        mapping.flags &= ~abi::GNTMAP_device_map;
    }
    const u32 ref = mapping.ref;
    if ((mapping.flags & (abi::GNTMAP_host_map | abi::GNTMAP_device_map)) == 0)
        mapping = {};
    refresh_marks(domain, ref);
    return abi::GNTST_okay;
}

} // namespace

void map_grant(Vcpu& vcpu, abi::gnttab_map_grant_ref& op) {
    Domain& domain = *vcpu.domain;
    if ((op.flags & (abi::GNTMAP_device_map | abi::GNTMAP_host_map)) == 0) {
        op.status = abi::GNTST_bad_gntref;
        return;
    }
    if (op.dom != domain.domid && op.dom != 0) {
        op.status = abi::GNTST_bad_domain;
        return;
    }
    GrantTable::Mapping* mapping = free_mapping(domain.grants);
    if (mapping == nullptr) {
        op.status = abi::GNTST_no_device_space;
        return;
    }
    Grant grant{};
    const bool to_write = (op.flags & abi::GNTMAP_readonly) == 0;
    op.status = op.dom == 0 ? use_of_host_grant(op.ref) : read_grant(domain, op.ref, to_write, grant);
    if (op.status != abi::GNTST_okay)
        return;
    const bool for_device = (op.flags & abi::GNTMAP_device_map) != 0;
    op.status = abi::GNTST_general_error;
    if (grant.part || (for_device && !hold_for_device(vcpu, grant.frame, op.flags)))
        return; // a part of a page cannot be mapped
    if ((op.flags & abi::GNTMAP_host_map) != 0 && !map_for_host(vcpu, grant, op)) {
        if (for_device)
            release_from_device(vcpu, grant.frame, op.flags);
        return;
    }
    *mapping = {grant.frame.number, op.ref, op.flags};
    refresh_marks(domain, op.ref);
    op.handle = static_cast<abi::grant_handle_t>(mapping - domain.grants.mappings);
    op.dev_bus_addr = grant.frame.address();
    op.status = abi::GNTST_okay;
}

void unmap_grant(Vcpu& vcpu, abi::gnttab_unmap_grant_ref& op) {
    op.status = unmap(vcpu, {op.handle, op.host_addr, op.dev_bus_addr, 0});
}

void unmap_and_replace_grant(Vcpu& vcpu, abi::gnttab_unmap_and_replace& op) {
    op.status = unmap(vcpu, {op.handle, op.host_addr, 0, op.new_addr});
}

} // namespace parapet::nucleus
