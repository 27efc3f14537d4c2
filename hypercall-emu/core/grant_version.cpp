// SPDX-License-Identifier: Apache-2.0
// The size and the version of the grant table.
#include "hypercall-emu/core/grant_table.hpp"

namespace parapet::nucleus {

namespace {

constexpr u32 RESERVED = abi::GNTTAB_NR_RESERVED_ENTRIES;

u32 status_frames_for(u32 frames) {
    return (frames * GRANTS_PER_FRAME_V2 + STATUS_PER_FRAME - 1) / STATUS_PER_FRAME;
}

/// A zeroed frame of the nucleus that the guest may map. NO_MFN: the pool is empty.
Mfn take_pool_frame(Domain& domain) {
    const Mfn mfn{domain.pool_next};
    if (domain.pool_next >= domain.pool_end || !domain.frames.contains(mfn))
        return NO_MFN;
    domain.pool_next++;
    fill_bytes(domain.machine->frame(mfn), 0, PAGE_SIZE);
    domain.frames[mfn].set_owner(FrameOwner::shared);
    return mfn;
}

bool grow(Domain& domain, u64 (&frames)[GrantTable::MAX_FRAMES], u32& count, u32 wanted) {
    while (count < wanted) {
        const Mfn mfn = take_pool_frame(domain);
        if (mfn == NO_MFN)
            return false;
        frames[count++] = mfn.number;
    }
    return true;
}

/// The reserved entries outlive a change of version: their common form, while the table is rewritten.
struct Kept {
    u16 flags;
    u16 domid;
    u64 frame;
};

/// -XEN_EINVAL: an entry that the other version cannot express.
Status keep_reserved(const Domain& domain, Kept (&kept)[RESERVED]) {
    for (u32 ref = 0; ref < RESERVED; ref++) {
        if (domain.grants.version == 2) {
            const abi::grant_entry_v2 entry = entry_v2(domain, ref);
            kept[ref] = {entry.hdr.flags, entry.hdr.domid, entry.full_page.frame};
            constexpr unsigned marks = abi::GTF_reading | abi::GTF_writing;
            kept[ref].flags = static_cast<u16>(entry.hdr.flags | (entry_status(domain, ref) & marks));
        } else {
            const abi::grant_entry_v1 entry = entry_v1(domain, ref);
            kept[ref] = {entry.flags, entry.domid, entry.frame};
        }
        const unsigned type = kept[ref].flags & abi::GTF_type_mask;
        const bool plain = type == abi::GTF_invalid || type == abi::GTF_permit_access;
        if (!plain || (kept[ref].flags & abi::GTF_sub_page) != 0 || kept[ref].frame >> 32 != 0)
            return -abi::XEN_EINVAL;
    }
    return 0;
}

void put_reserved(Domain& domain, const Kept (&kept)[RESERVED]) {
    constexpr u16 marks = abi::GTF_reading | abi::GTF_writing;
    for (u32 ref = 0; ref < RESERVED; ref++) {
        const Kept& entry = kept[ref];
        if (domain.grants.version == 2) {
            abi::grant_entry_v2& to = entry_v2(domain, ref);
            to.full_page.frame = entry.frame;
            to.hdr = {static_cast<u16>(entry.flags & ~marks), entry.domid};
            entry_status(domain, ref) = entry.flags & marks;
        } else {
            entry_v1(domain, ref) = {entry.flags, entry.domid, static_cast<u32>(entry.frame)};
        }
    }
}

bool in_use_beyond_reserved(const GrantTable& table) {
    for (const GrantTable::Mapping& mapping : table.mappings) {
        if (mapping.flags != 0 && mapping.ref >= RESERVED)
            return true;
    }
    return false;
}

} // namespace

u32 max_grant_frames(const GrantTable& table) {
    return table.max_frames != 0 && table.max_frames <= GrantTable::MAX_FRAMES
               ? table.max_frames
               : static_cast<u32>(GrantTable::MAX_FRAMES);
}

bool grow_grant_table(Domain& domain, u32 frames) {
    GrantTable& table = domain.grants;
    if (frames > max_grant_frames(table))
        return false;
    // Status frames first: an entry without a status must never be in reach.
    if (table.version == 2 && !grow(domain, table.status_frames, table.nr_status_frames, status_frames_for(frames)))
        return false;
    return grow(domain, table.frames, table.nr_frames, frames);
}

Status set_grant_version(Domain& domain, u32 version) {
    GrantTable& table = domain.grants;
    if (version != 1 && version != 2)
        return -abi::XEN_EINVAL;
    const u32 current = table.version == 2 ? 2 : 1;
    if (current == version)
        return 0;
    if (in_use_beyond_reserved(table))
        return -abi::XEN_EBUSY;
    Kept kept[RESERVED] = {};
    if (table.nr_frames != 0) {
        const Status status = keep_reserved(domain, kept);
        if (status != 0)
            return status;
    }
    if (version == 2 && !grow(domain, table.status_frames, table.nr_status_frames, status_frames_for(table.nr_frames)))
        return -abi::XEN_ENOMEM;
    for (u32 i = 0; i < table.nr_frames; i++)
        fill_bytes(domain.machine->frame(Mfn{table.frames[i]}), 0, PAGE_SIZE);
    for (u32 i = 0; i < table.nr_status_frames; i++)
        fill_bytes(domain.machine->frame(Mfn{table.status_frames[i]}), 0, PAGE_SIZE);
    table.version = version;
    if (table.nr_frames != 0)
        put_reserved(domain, kept);
    return 0;
}

} // namespace parapet::nucleus
