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
    for (GrantTable::Mapping& mapping : table.mappings) {
        if (mapping.flags == 0)
            return &mapping;
    }
    return nullptr;
}

/// The marks of a grant follow from who still maps it.
void refresh_marks(const Domain& domain, u32 ref) {
    bool reading = false;
    bool writing = false;
    for (const GrantTable::Mapping& mapping : domain.grants.mappings) {
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

/// Does `slot` hold what `mapping` put there?
bool still_maps(const Domain& domain, const GrantTable::Mapping& mapping, const Slot& slot) {
    Grant grant{};
    const Pte entry = entry_at(domain, slot);
    return read_grant(domain, mapping.ref, false, grant) == abi::GNTST_okay && entry.present() &&
           entry.mfn() == grant.frame && entry.writable() == ((mapping.flags & abi::GNTMAP_readonly) == 0);
}

/// Undo the mapping of `handle` at `host_addr`, leaving `replacement` there.
int16_t unmap(Vcpu& vcpu, u32 handle, u64 host_addr, Pte replacement) {
    Domain& domain = *vcpu.domain;
    if (handle >= GrantTable::MAX_MAPPINGS || domain.grants.mappings[handle].flags == 0)
        return abi::GNTST_bad_handle;
    GrantTable::Mapping& mapping = domain.grants.mappings[handle];
    if ((mapping.flags & abi::GNTMAP_host_map) != 0) {
        Slot slot{};
        if (host_addr != mapping.host_addr || !find_slot(vcpu, host_addr, mapping.flags, slot) ||
            !still_maps(domain, mapping, slot) || update_entry(vcpu, slot.table, slot.index, replacement, false) != 0)
            return abi::GNTST_general_error;
        flush_local(vcpu);
    }
    const u32 ref = mapping.ref;
    mapping = {};
    refresh_marks(domain, ref);
    return abi::GNTST_okay;
}

} // namespace

void map_grant(Vcpu& vcpu, abi::gnttab_map_grant_ref& op) {
    Domain& domain = *vcpu.domain;
    op.handle = ~0U;
    if ((op.flags & (abi::GNTMAP_device_map | abi::GNTMAP_host_map)) == 0) {
        op.status = abi::GNTST_bad_gntref;
        return;
    }
    if (op.dom != domain.domid) {
        // Dom0 exists, and grants nothing.
        op.status = op.dom == 0 ? abi::GNTST_bad_gntref : abi::GNTST_bad_domain;
        return;
    }
    Grant grant{};
    op.status = read_grant(domain, op.ref, (op.flags & abi::GNTMAP_readonly) == 0, grant);
    if (op.status != abi::GNTST_okay)
        return;
    GrantTable::Mapping* mapping = free_mapping(domain.grants);
    if (mapping == nullptr) {
        op.status = abi::GNTST_no_space;
        return;
    }
    if ((op.flags & abi::GNTMAP_host_map) != 0) {
        Slot slot{};
        const bool whole = grant.length == PAGE_SIZE; // a part of a page cannot be mapped
        if (!whole || !find_slot(vcpu, op.host_addr, op.flags, slot) ||
            update_entry(vcpu, slot.table, slot.index, mapping_entry(grant, op.flags), false) != 0) {
            op.status = abi::GNTST_general_error;
            return;
        }
    }
    *mapping = {op.host_addr, op.ref, op.flags};
    refresh_marks(domain, op.ref);
    op.handle = static_cast<abi::grant_handle_t>(mapping - domain.grants.mappings);
    op.dev_bus_addr = grant.frame.address();
}

void unmap_grant(Vcpu& vcpu, abi::gnttab_unmap_grant_ref& op) {
    op.status = unmap(vcpu, op.handle, op.host_addr, Pte{});
}

void unmap_and_replace_grant(Vcpu& vcpu, abi::gnttab_unmap_and_replace& op) {
    Slot from{};
    if (!find_slot(vcpu, op.new_addr, 0, from)) {
        op.status = abi::GNTST_general_error;
        return;
    }
    // The mapping at new_addr moves: it is made at host_addr first, and then taken away.
    op.status = unmap(vcpu, op.handle, op.host_addr, entry_at(*vcpu.domain, from));
    if (op.status == abi::GNTST_okay && update_entry(vcpu, from.table, from.index, Pte{}, false) != 0)
        op.status = abi::GNTST_general_error;
}

} // namespace parapet::nucleus
