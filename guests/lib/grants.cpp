// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/grants.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/shutdown.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t table_va = 0x30000000000; // slot 6: nothing else of ours is there
constexpr uint64_t status_va = table_va + 0x100000;
constexpr unsigned reserved_refs = 8; // console, xenstore
constexpr unsigned most_refs = grant_frames * page_size / sizeof(grant_entry_v1_t);
constexpr uint16_t in_use = GTF_reading | GTF_writing;

unsigned table_version = 0;
grant_ref_t free_refs[most_refs];
unsigned free_count = 0;

grant_entry_v1_t& entry_v1(grant_ref_t ref) {
    return reinterpret_cast<grant_entry_v1_t*>(table_va)[ref];
}
grant_entry_v2_t& entry_v2(grant_ref_t ref) {
    return reinterpret_cast<grant_entry_v2_t*>(table_va)[ref];
}
grant_status_t& status_v2(grant_ref_t ref) {
    return reinterpret_cast<grant_status_t*>(status_va)[ref];
}
uint16_t& flags_of(grant_ref_t ref) {
    return table_version == 2 ? entry_v2(ref).hdr.flags : entry_v1(ref).flags;
}

long grant_op(unsigned command, void* request) {
    return hypercall(__HYPERVISOR_grant_table_op, command, request, 1);
}

long map_frames(uint64_t va, const uint64_t* frames, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        if (const long error = map_page(va + i * page_size, frames[i], kernel_rw); error != 0) {
            return error;
        }
    }
    return 0;
}

long map_table() {
    xen_pfn_t frames[grant_frames] = {};
    gnttab_setup_table request{};
    request.dom = DOMID_SELF;
    request.nr_frames = grant_frames;
    set_xen_guest_handle(request.frame_list, frames);
    const long error = grant_op(GNTTABOP_setup_table, &request);
    return error != 0 ? error : request.status != 0 ? request.status : map_frames(table_va, frames, grant_frames);
}

long map_status() {
    uint64_t frames[1] = {}; // of 2048 status words
    gnttab_get_status_frames request{};
    request.dom = DOMID_SELF;
    request.nr_frames = 1;
    set_xen_guest_handle(request.frame_list, frames);
    const long error = grant_op(GNTTABOP_get_status_frames, &request);
    return error != 0 ? error : request.status != 0 ? request.status : map_frames(status_va, frames, 1);
}

} // namespace

long grants_init(unsigned version) {
    if (version == 2) {
        gnttab_set_version request{2};
        if (const long error = grant_op(GNTTABOP_set_version, &request); error != 0) {
            return error;
        }
    }
    if (const long error = map_table(); error != 0) {
        return error;
    }
    if (const long error = version == 2 ? map_status() : 0; error != 0) {
        return error;
    }
    table_version = version;
    const unsigned refs = version == 2 ? grant_frames * page_size / sizeof(grant_entry_v2_t) : most_refs;
    for (unsigned ref = refs; ref-- > reserved_refs;) {
        free_refs[free_count++] = ref;
    }
    return 0;
}

unsigned grants_version() {
    return table_version;
}

unsigned grants_free() {
    return free_count;
}

grant_ref_t grant_reserve() {
    if (free_count == 0) {
        print("guest: the grant references are used up, or grants_init() is missing\n");
        shutdown(SHUTDOWN_crash);
    }
    return free_refs[--free_count];
}

void grant_overwrite(grant_ref_t ref, uint16_t flags, domid_t domid, uint64_t mfn) {
    if (table_version == 2) {
        entry_v2(ref).full_page.frame = mfn;
        entry_v2(ref).hdr.domid = domid;
    } else {
        entry_v1(ref).frame = static_cast<uint32_t>(mfn);
        entry_v1(ref).domid = domid;
    }
    __atomic_store_n(&flags_of(ref), flags, __ATOMIC_RELEASE);
}

grant_ref_t grant_frame(uint64_t mfn, bool read_only) {
    const grant_ref_t ref = grant_reserve();
    grant_overwrite(ref, GTF_permit_access | (read_only ? GTF_readonly : 0), 0, mfn);
    return ref;
}

grant_ref_t grant_part(uint64_t mfn, uint16_t offset, uint16_t length, bool read_only) {
    const grant_ref_t ref = grant_reserve();
    entry_v2(ref).sub_page.frame = mfn;
    entry_v2(ref).sub_page.page_off = offset;
    entry_v2(ref).sub_page.length = length;
    entry_v2(ref).hdr.domid = 0;
    const uint16_t flags = GTF_permit_access | GTF_sub_page | (read_only ? GTF_readonly : 0);
    __atomic_store_n(&flags_of(ref), flags, __ATOMIC_RELEASE);
    return ref;
}

uint16_t grant_use(grant_ref_t ref) {
    const uint16_t word = table_version == 2 ? __atomic_load_n(&status_v2(ref), __ATOMIC_ACQUIRE)
                                             : __atomic_load_n(&flags_of(ref), __ATOMIC_ACQUIRE);
    return word & in_use;
}

bool grant_end(grant_ref_t ref) {
    if (table_version == 2) {
        // Refused from now on; then: does anyone use it still?
        __atomic_store_n(&flags_of(ref), uint16_t{0}, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (grant_use(ref) != 0) {
            return false;
        }
    } else {
        uint16_t flags = __atomic_load_n(&flags_of(ref), __ATOMIC_ACQUIRE);
        do {
            if ((flags & in_use) != 0) {
                return false;
            }
        } while (!__atomic_compare_exchange_n(&flags_of(ref), &flags, uint16_t{0}, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_ACQUIRE));
    }
    free_refs[free_count++] = ref;
    return true;
}

} // namespace parapet::guest
