// SPDX-License-Identifier: Apache-2.0
// grant_table_op: the operations on the table itself, with each error; arrays that are empty, that end in a hole, and
// large ones; handles and references that are none.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "grant_edges";

namespace {

constexpr domid_t no_domain = 0x7000;
constexpr uint64_t table_va = 0x28000000000; // slot 5
auto* const nowhere = reinterpret_cast<void*>(0x1000);

long grant_op(unsigned command, void* request, uint64_t count = 1) {
    return hypercall(__HYPERVISOR_grant_table_op, command, request, count);
}

void status_is(int got, int wanted, const char* what) {
    expect(got == wanted, "%s: status %d, not %d", what, got, wanted);
}

volatile grant_entry_v1_t& entry(unsigned reference) {
    return reinterpret_cast<grant_entry_v1_t*>(table_va)[reference];
}

int setup(unsigned frames, xen_pfn_t* list, domid_t domain = DOMID_SELF) {
    gnttab_setup_table request{};
    request.dom = domain;
    request.nr_frames = frames;
    request.status = 99;
    set_xen_guest_handle(request.frame_list, list);
    expect_result(grant_op(GNTTABOP_setup_table, &request), 0, "setup_table");
    return request.status;
}

void setting_up() {
    static xen_pfn_t list[64];
    status_is(setup(0, list), GNTST_okay, "no frames");
    status_is(setup(1, list), GNTST_okay, "one frame");
    status_is(setup(1, list, own_domid()), GNTST_okay, "one's own by number");
    status_is(setup(1, list, no_domain), GNTST_bad_domain, "of no domain");
    status_is(setup(1'000'000, list), GNTST_general_error, "more than there can be");
    status_is(setup(1, static_cast<xen_pfn_t*>(nowhere)), GNTST_bad_virt_addr, "a list at a hole");
    if (!is_initial_domain()) {
        status_is(setup(1, list, 0), GNTST_permission_denied, "of domain 0");
    }
    gnttab_setup_table request{};
    request.dom = DOMID_SELF;
    for (const uint64_t count : {0ul, 2ul, 7ul}) {
        expect_result(grant_op(GNTTABOP_setup_table, &request, count), -XEN_EINVAL, "another count than one");
    }
    expect_result(grant_op(GNTTABOP_setup_table, nowhere), -XEN_EFAULT, "bad pointer");
    expect_result(map_page(table_va, list[0], kernel_rw), 0, "mapping of the table");
}

void asking() {
    gnttab_query_size size{};
    const auto query = [&](domid_t domain) {
        size = {};
        size.dom = domain;
        size.status = 99;
        expect_result(grant_op(GNTTABOP_query_size, &size), 0, "query_size");
        return size.status;
    };
    status_is(query(DOMID_SELF), GNTST_okay, "one's own");
    expect(size.nr_frames >= 1 && size.max_nr_frames >= size.nr_frames, "%u frames of %u", size.nr_frames,
           size.max_nr_frames);
    status_is(query(own_domid()), GNTST_okay, "one's own by number");
    status_is(query(no_domain), GNTST_bad_domain, "of no domain");
    if (!is_initial_domain()) {
        status_is(query(0), GNTST_permission_denied, "of domain 0");
    }
    for (const uint64_t count : {0ul, 2ul}) {
        expect_result(grant_op(GNTTABOP_query_size, &size, count), -XEN_EINVAL, "another count than one");
    }
    expect_result(grant_op(GNTTABOP_query_size, nowhere), -XEN_EFAULT, "bad pointer");

    gnttab_get_version version{};
    version.dom = DOMID_SELF;
    expect_result(grant_op(GNTTABOP_get_version, &version), 0, "get_version");
    expect(version.version == 1, "version %u", version.version);
    version.dom = no_domain;
    expect_result(grant_op(GNTTABOP_get_version, &version), -XEN_ESRCH, "get_version of no domain");
    version.dom = 0;
    if (!is_initial_domain()) {
        expect_result(grant_op(GNTTABOP_get_version, &version), -XEN_EPERM, "get_version of domain 0");
    }
    expect_result(grant_op(GNTTABOP_get_version, nowhere), -XEN_EFAULT, "bad pointer");
    gnttab_set_version set{};
    for (const uint32_t number : {0u, 3u, ~0u}) {
        set.version = number;
        expect_result(grant_op(GNTTABOP_set_version, &set), -XEN_EINVAL, "a version that is none");
        expect(set.version == 1, "it says %u", set.version);
    }
    expect_result(grant_op(GNTTABOP_set_version, nowhere), -XEN_EFAULT, "bad pointer");

    gnttab_get_status_frames frames{};
    const auto status_frames = [&](domid_t domain) {
        frames.dom = domain;
        frames.nr_frames = 1;
        frames.status = 99;
        expect_result(grant_op(GNTTABOP_get_status_frames, &frames), 0, "get_status_frames");
        return frames.status;
    };
    status_is(status_frames(DOMID_SELF), GNTST_general_error, "status frames of version 1");
    status_is(status_frames(no_domain), GNTST_bad_domain, "status frames of no domain");
    if (!is_initial_domain()) {
        status_is(status_frames(0), GNTST_permission_denied, "status frames of domain 0");
    }
    expect_result(grant_op(GNTTABOP_get_status_frames, &frames, 2), -XEN_EINVAL, "another count than one");
    expect_result(grant_op(GNTTABOP_get_status_frames, nowhere), -XEN_EFAULT, "bad pointer");
}

void swaps() {
    gnttab_swap_grant_ref request{};
    const auto swap = [&](unsigned a, unsigned b) {
        request = {};
        request.ref_a = a;
        request.ref_b = b;
        request.status = 99;
        expect_result(grant_op(GNTTABOP_swap_grant_ref, &request), 0, "swap");
        return request.status;
    };
    entry(100).frame = 1;
    entry(101).frame = 2;
    status_is(swap(100, 101), GNTST_okay, "two entries");
    expect(entry(100).frame == 2 && entry(101).frame == 1, "they are %u, %u", entry(100).frame, entry(101).frame);
    status_is(swap(100, 100), GNTST_okay, "one with itself");
    status_is(swap(100, 0xffffffff), GNTST_bad_gntref, "one that is none");
    status_is(swap(0xffffff, 100), GNTST_bad_gntref, "one that is none");
    entry(100).frame = 0;
    entry(101).frame = 0;
}

/// Whatever is wrong with an element is told in it, and the next one is done.
void arrays() {
    for (const unsigned command : {GNTTABOP_map_grant_ref, GNTTABOP_unmap_grant_ref, GNTTABOP_unmap_and_replace,
                                   GNTTABOP_transfer, GNTTABOP_copy, GNTTABOP_swap_grant_ref, GNTTABOP_cache_flush}) {
        expect_result(grant_op(command, nowhere, 0), 0, "none, at a hole");
        expect_result(grant_op(command, nowhere, 1), -XEN_EFAULT, "one, at a hole");
        expect_result(grant_op(command, nowhere, 0x80000000), -XEN_EINVAL, "a negative count");
        expect_result(grant_op(command, reinterpret_cast<void*>(HYPERVISOR_VIRT_START), 1), -XEN_EFAULT,
                      "in the hypervisor");
    }
    constexpr unsigned count = 500;
    auto* copies = static_cast<gnttab_copy*>(alloc_pages(count * sizeof(gnttab_copy) / page_size + 1));
    auto* from = static_cast<volatile uint64_t*>(alloc_page());
    auto* to = static_cast<volatile uint64_t*>(alloc_page());
    for (unsigned i = 0; i < count; ++i) {
        from[i] = i + 1;
        copies[i].source.u.gmfn = virt_to_mfn(from);
        copies[i].dest.u.gmfn = i % 100 == 99 ? 0xfffffffff : virt_to_mfn(to);
        copies[i].source.domid = copies[i].dest.domid = DOMID_SELF;
        copies[i].source.offset = copies[i].dest.offset = static_cast<uint16_t>(i * 8);
        copies[i].len = 8;
        copies[i].status = 99;
    }
    expect_result(grant_op(GNTTABOP_copy, copies, count), 0, "a large array");
    for (unsigned i = 0; i < count; ++i) {
        const bool bad = i % 100 == 99;
        if (!expect(copies[i].status == (bad ? GNTST_bad_page : GNTST_okay) && to[i] == (bad ? 0 : i + 1),
                    "copy %u: status %d, %lx", i, copies[i].status, to[i])) {
            break;
        }
    }
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    auto* last = reinterpret_cast<gnttab_copy*>(pages + page_size) - 2;
    last[0] = copies[0];
    last[1] = copies[1];
    last[0].status = last[1].status = 99;
    to[0] = 0;
    to[1] = 0;
    expect_result(grant_op(GNTTABOP_copy, last, 3), -XEN_EFAULT, "an array that ends in a hole");
    expect(last[0].status == GNTST_okay && last[1].status == GNTST_okay && to[1] == 2, "those before the hole: %d, %d",
           last[0].status, last[1].status);
}

void handles() {
    gnttab_unmap_grant_ref unmap{};
    for (const uint32_t handle : {0u, 1000u, 0xffffu, ~0u}) {
        unmap.handle = handle;
        unmap.status = 99;
        expect_result(grant_op(GNTTABOP_unmap_grant_ref, &unmap), 0, "unmap");
        status_is(unmap.status, GNTST_bad_handle, "a handle that is none");
        gnttab_unmap_and_replace replace{};
        replace.handle = handle;
        expect_result(grant_op(GNTTABOP_unmap_and_replace, &replace), 0, "replace");
        status_is(replace.status, GNTST_bad_handle, "a handle that is none");
    }
    for (const unsigned command : {13u, 99u, 999u}) {
        expect_result(grant_op(command, &unmap), -XEN_ENOSYS, "an operation that is none");
    }
    gnttab_map_grant_ref map{};
    map.flags = GNTMAP_host_map;
    map.dom = no_domain;
    expect_result(grant_op(GNTTABOP_map_grant_ref, &map), 0, "map");
    status_is(map.status, GNTST_bad_domain, "map of no domain's grant");
    map.dom = own_domid();
    map.ref = ~0u;
    expect_result(grant_op(GNTTABOP_map_grant_ref, &map), 0, "map");
    status_is(map.status, GNTST_bad_gntref, "map of the last reference");
}

} // namespace

void test() {
    setting_up();
    asking();
    swaps();
    arrays();
    handles();
}

} // namespace parapet::guest
