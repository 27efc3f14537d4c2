// SPDX-License-Identifier: Apache-2.0
// Grant entries of both versions. They lie in memory that the guest writes: each is read once, then judged.
#include "hypercall-emu/core/grant_table.hpp"

namespace parapet::nucleus {

namespace {

constexpr u16 MARKS = abi::GTF_reading | abi::GTF_writing;

template <typename Entry>
Entry& entry_in(const Domain& domain, const u64* frames, u32 index) {
    constexpr u32 per_frame = PAGE_SIZE / sizeof(Entry);
    return static_cast<Entry*>(domain.machine->frame(Mfn{frames[index / per_frame]}))[index % per_frame];
}

/// One 32-bit load: flags and peer belong together.
abi::grant_entry_header load_header(const void* entry) {
    const u32 word = __atomic_load_n(static_cast<const u32*>(entry), __ATOMIC_ACQUIRE);
    return {static_cast<uint16_t>(word), static_cast<abi::domid_t>(word >> 16)};
}

/// GNTST_okay if the header permits access to the domain itself.
int16_t judge_header(const Domain& domain, abi::grant_entry_header header, bool to_write, Grant& grant) {
    if ((header.flags & abi::GTF_type_mask) != abi::GTF_permit_access || header.domid != domain.domid)
        return abi::GNTST_general_error;
    grant.part = (header.flags & abi::GTF_sub_page) != 0;
    grant.writable = (header.flags & abi::GTF_readonly) == 0;
    return to_write && !grant.writable ? abi::GNTST_general_error : abi::GNTST_okay;
}

} // namespace

u32 grant_entries(const GrantTable& table) {
    return table.nr_frames * (table.version == 2 ? GRANTS_PER_FRAME_V2 : GRANTS_PER_FRAME_V1);
}

abi::grant_entry_v1& entry_v1(const Domain& domain, u32 ref) {
    return entry_in<abi::grant_entry_v1>(domain, domain.grants.frames, ref);
}

abi::grant_entry_v2& entry_v2(const Domain& domain, u32 ref) {
    return entry_in<abi::grant_entry_v2>(domain, domain.grants.frames, ref);
}

abi::grant_status_t& entry_status(const Domain& domain, u32 ref) {
    return entry_in<abi::grant_status_t>(domain, domain.grants.status_frames, ref);
}

int16_t read_grant(const Domain& domain, u32 ref, bool to_write, Grant& grant) {
    if (ref >= grant_entries(domain.grants))
        return abi::GNTST_bad_gntref;
    grant.first = 0;
    grant.end = PAGE_SIZE;
    if (domain.grants.version != 2) {
        const abi::grant_entry_v1& entry = entry_v1(domain, ref);
        grant.frame = {__atomic_load_n(&entry.frame, __ATOMIC_RELAXED)};
        const int16_t status = judge_header(domain, load_header(&entry), to_write, grant);
        return status != 0 || domain.frames.domain_owns(grant.frame) ? status : abi::GNTST_bad_page;
    }
    const abi::grant_entry_v2& entry = entry_v2(domain, ref);
    const abi::grant_entry_header header = load_header(&entry);
    const int16_t status = judge_header(domain, header, to_write, grant);
    if (status != 0)
        return status;
    grant.frame = {__atomic_load_n(&entry.full_page.frame, __ATOMIC_RELAXED)};
    if (grant.part) {
        const u32 part = __atomic_load_n(&entry.__spacer[1], __ATOMIC_RELAXED); // page_off and length at once
        grant.first = part & 0xffff;
        grant.end = min_of<u32>(grant.first + (part >> 16), PAGE_SIZE);
    }
    return domain.frames.domain_owns(grant.frame) ? abi::GNTST_okay : abi::GNTST_bad_page;
}

void mark_grant(const Domain& domain, u32 ref, bool reading, bool writing) {
    const auto marks = static_cast<u16>((reading ? abi::GTF_reading : 0) | (writing ? abi::GTF_writing : 0));
    u16& flags = domain.grants.version == 2 ? entry_status(domain, ref) : entry_v1(domain, ref).flags;
    __atomic_fetch_or(&flags, marks, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&flags, static_cast<u16>(~(MARKS & ~marks)), __ATOMIC_SEQ_CST);
}

bool grant_is_mapped(const GrantTable& table, u32 ref) {
    for (u32 i = 0; i < table.mappings_end; i++) {
        if (table.mappings[i].flags != 0 && table.mappings[i].ref == ref)
            return true;
    }
    return false;
}

bool grant_is_marked(const Domain& domain, u32 ref) {
    const u16& flags = domain.grants.version == 2 ? entry_status(domain, ref) : entry_v1(domain, ref).flags;
    return (__atomic_load_n(&flags, __ATOMIC_SEQ_CST) & MARKS) != 0;
}

void swap_grants(Domain& domain, u32 left, u32 right) {
    if (domain.grants.version == 2) {
        abi::grant_entry_v2& a = entry_v2(domain, left);
        abi::grant_entry_v2& b = entry_v2(domain, right);
        const abi::grant_entry_v2 kept = a;
        a = b;
        b = kept;
        return;
    }
    abi::grant_entry_v1& a = entry_v1(domain, left);
    abi::grant_entry_v1& b = entry_v1(domain, right);
    const abi::grant_entry_v1 from_a = {static_cast<u16>(a.flags & ~MARKS), a.domid, a.frame};
    a = {static_cast<u16>(b.flags & ~MARKS), b.domid, b.frame};
    b = from_a;
}

} // namespace parapet::nucleus
