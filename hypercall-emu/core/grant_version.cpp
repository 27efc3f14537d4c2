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

/// `shown`, `shown_count`: the same as the vmm finds it (doorbell.hpp: GrantInfo).
bool grow(Domain& domain, u64 (&frames)[GrantTable::MAX_FRAMES], u32& count, u32 wanted,
          u64 (&shown)[GrantTable::MAX_FRAMES], u32& shown_count) {
    while (count < wanted) {
        const Mfn mfn = take_pool_frame(domain);
        if (mfn == NO_MFN)
            return false;
        __atomic_store_n(&shown[count], mfn.number, __ATOMIC_RELAXED);
        frames[count++] = mfn.number;
        __atomic_store_n(&shown_count, count, __ATOMIC_RELEASE);
    }
    return true;
}

bool grow_status(Domain& domain, u32 frames) {
    GrantTable& table = domain.grants;
    doorbell::GrantInfo& info = domain.machine->mailbox->grants;
    return grow(domain, table.status_frames, table.nr_status_frames, status_frames_for(frames), info.status_frames,
                info.nr_status_frames);
}

bool grow_entries(Domain& domain, u32 frames) {
    GrantTable& table = domain.grants;
    doorbell::GrantInfo& info = domain.machine->mailbox->grants;
    return grow(domain, table.frames, table.nr_frames, frames, info.frames, info.nr_frames);
}

/// The reserved entries outlive a change of version: their common form, while the table is rewritten.
struct Kept {
    u16 flags;
    u16 domid;
    u64 frame;
};

void keep_v1(const Domain& domain, Kept (&kept)[RESERVED]) {
    for (u32 ref = 0; ref < RESERVED; ref++) {
        const abi::grant_entry_v1 entry = entry_v1(domain, ref);
        kept[ref] = {entry.flags, entry.domid, entry.frame};
    }
}

/// -XEN_ERANGE: an entry that version 1 cannot express.
Status keep_v2(const Domain& domain, Kept (&kept)[RESERVED]) {
    for (u32 ref = 0; ref < RESERVED; ref++) {
        const abi::grant_entry_v2 entry = entry_v2(domain, ref);
        const unsigned type = entry.hdr.flags & abi::GTF_type_mask;
        if (type == abi::GTF_transitive || (type == abi::GTF_permit_access && entry.full_page.frame >> 32 != 0))
            return -abi::XEN_ERANGE;
        if (type == abi::GTF_permit_access) {
            const auto flags = static_cast<u16>(entry.hdr.flags | entry_status(domain, ref));
            kept[ref] = {flags, entry.hdr.domid, entry.full_page.frame};
        }
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
    for (u32 i = 0; i < table.mappings_end; i++) {
        if (table.mappings[i].flags != 0 && table.mappings[i].ref >= RESERVED)
            return true;
    }
    return false;
}

/// Has the guest the status frames mapped? Xen frees them with version 2.
bool status_is_mapped(const Domain& domain) {
    for (u32 i = 0; i < domain.grants.nr_status_frames; i++) {
        if (domain.frames[Mfn{domain.grants.status_frames[i]}].references() != 0)
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

void start_grant_table(Domain& domain, Mfn console, Mfn store) {
    domain.grants.version = domain.machine->mailbox->grants.version = 1;
    if (!grow_grant_table(domain, 1))
        return;
    const auto seed = [&](unsigned ref, Mfn ring) {
        if (ring.number != 0)
            entry_v1(domain, ref) = {abi::GTF_permit_access, 0, static_cast<u32>(ring.number)};
    };
    seed(abi::GNTTAB_RESERVED_CONSOLE, console);
    seed(abi::GNTTAB_RESERVED_XENSTORE, store);
}

bool grow_grant_table(Domain& domain, u32 frames) {
    GrantTable& table = domain.grants;
    if (frames > max_grant_frames(table))
        return false;
    // Status frames first: an entry without a status must never be in reach.
    if (table.version == 2 && !grow_status(domain, frames))
        return false;
    return grow_entries(domain, frames);
}

GrantChange::GrantChange(Domain& domain) : info_{domain.machine->mailbox->grants} {
    __atomic_fetch_add(&info_.sequence, 1,
                       __ATOMIC_SEQ_CST); // a full fence: what the host does is looked at afterwards
}

GrantChange::~GrantChange() {
    __atomic_fetch_add(&info_.sequence, 1, __ATOMIC_SEQ_CST);
}

bool GrantChange::host_uses_any() const {
    return __atomic_load_n(&info_.host_leases, __ATOMIC_SEQ_CST) != 0;
}

namespace {

Status change_version(Domain& domain, u32 version) {
    GrantTable& table = domain.grants;
    const GrantChange change{domain};
    if (change.host_uses_any())
        return -abi::XEN_EBUSY;
    Kept kept[RESERVED] = {};
    if (version == 2) {
        if (!grow_status(domain, table.nr_frames))
            return -abi::XEN_ENOMEM;
        keep_v1(domain, kept);
    } else {
        const Status status = keep_v2(domain, kept);
        if (status != 0)
            return status;
        if (status_is_mapped(domain))
            return -abi::XEN_EBUSY;
    }
    for (u32 i = 0; i < table.nr_frames; i++)
        fill_bytes(domain.machine->frame(Mfn{table.frames[i]}), 0, PAGE_SIZE);
    for (u32 i = 0; i < table.nr_status_frames; i++)
        fill_bytes(domain.machine->frame(Mfn{table.status_frames[i]}), 0, PAGE_SIZE);
    table.version = version;
    __atomic_store_n(&domain.machine->mailbox->grants.version, version, __ATOMIC_RELAXED);
    put_reserved(domain, kept);
    return 0;
}

} // namespace

Status set_grant_version(Domain& domain, u32 version) {
    const GrantTable& table = domain.grants;
    if (version != 1 && version != 2)
        return -abi::XEN_EINVAL;
    if (version == (table.version == 2 ? 2 : 1))
        return 0;
    return in_use_beyond_reserved(table) ? -abi::XEN_EBUSY : change_version(domain, version);
}

} // namespace parapet::nucleus
