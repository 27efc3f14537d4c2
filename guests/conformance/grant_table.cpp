// SPDX-License-Identifier: Apache-2.0
// grant_table_op: setup, sizes, copies, grants to oneself, wrong references and pointers.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "grant_table";

namespace {

constexpr uint64_t table_va = 0x28000000000; // slot 5
constexpr unsigned frames = 1;

volatile grant_entry_v1_t* entries() {
    return reinterpret_cast<grant_entry_v1_t*>(table_va);
}

long grant_op(unsigned command, void* request, unsigned count = 1) {
    return hypercall(__HYPERVISOR_grant_table_op, command, request, count);
}

bool setup() {
    xen_pfn_t list[frames] = {};
    gnttab_setup_table request{};
    request.dom = DOMID_SELF;
    request.nr_frames = frames;
    set_xen_guest_handle(request.frame_list, list);
    return expect_result(grant_op(GNTTABOP_setup_table, &request), 0, "setup_table") &&
           expect_result(request.status, GNTST_okay, "setup_table's status") &&
           expect_result(map_page(table_va, list[0], kernel_rw), 0, "mapping of the grant table");
}

void grant(unsigned reference, void* page, uint16_t flags) {
    entries()[reference].frame = static_cast<uint32_t>(virt_to_mfn(page));
    entries()[reference].domid = DOMID_SELF;
    __atomic_store_n(&entries()[reference].flags, flags, __ATOMIC_RELEASE);
}

void copies() {
    auto* from = static_cast<volatile uint64_t*>(alloc_page());
    auto* to = static_cast<volatile uint64_t*>(alloc_page());
    from[1] = 0x600d;
    gnttab_copy request{};
    request.source.u.gmfn = virt_to_mfn(from);
    request.source.domid = DOMID_SELF;
    request.source.offset = 8;
    request.dest.u.gmfn = virt_to_mfn(to);
    request.dest.domid = DOMID_SELF;
    request.dest.offset = 16;
    request.len = 8;
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy");
    expect_result(request.status, GNTST_okay, "copy's status");
    expect(to[2] == 0x600d, "copied %lx", to[2]);
    request.len = 4096;
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy over the end");
    expect(request.status < 0, "copy over the end: status %d", request.status);
    request.len = 8;
    request.dest.u.gmfn = virt_to_mfn(root_table());
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy onto a page table");
    expect(request.status < 0, "copy onto a page table: status %d", request.status);
    request.dest.u.gmfn = 0xfffffffff;
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy to a wild frame");
    expect(request.status < 0, "copy to a wild frame: status %d", request.status);
    request.source.u.ref = 0xffffff;
    request.flags = GNTCOPY_source_gref;
    request.dest.u.gmfn = virt_to_mfn(to);
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy from a wild reference");
    expect(request.status < 0, "copy from a wild reference: status %d", request.status);
}

} // namespace

void test() {
    gnttab_query_size size{};
    size.dom = DOMID_SELF;
    expect_result(grant_op(GNTTABOP_query_size, &size), 0, "query_size");
    expect(size.status == GNTST_okay && size.max_nr_frames >= 1, "status %d, at most %u frames", size.status,
           size.max_nr_frames);
    gnttab_get_version version{};
    version.dom = DOMID_SELF;
    expect_result(grant_op(GNTTABOP_get_version, &version), 0, "get_version");
    expect(version.version == 1, "version %u", version.version);
    if (setup()) {
        grant(20, alloc_page(), GTF_permit_access);
        expect((entries()[20].flags & (GTF_reading | GTF_writing)) == 0, "a grant in use that nobody mapped");
        copies();
    }
    gnttab_setup_table many{};
    many.dom = DOMID_SELF;
    many.nr_frames = 1'000'000;
    const long result = grant_op(GNTTABOP_setup_table, &many);
    expect(result < 0 || many.status < 0, "a million frames: %ld, status %d", result, many.status);
    expect_refused(grant_op(GNTTABOP_setup_table, reinterpret_cast<void*>(0x1000)), "bad pointer");
    expect_refused(grant_op(999, &many), "unknown operation");
    expect_result(grant_op(GNTTABOP_copy, &many, 0), 0, "no requests");
    gnttab_unmap_grant_ref unmap{};
    unmap.handle = 0xffffff;
    grant_op(GNTTABOP_unmap_grant_ref, &unmap);
    expect(unmap.status < 0, "unmapping a wild handle: status %d", unmap.status);
}

} // namespace parapet::guest
