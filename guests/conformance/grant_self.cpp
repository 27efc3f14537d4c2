// SPDX-License-Identifier: Apache-2.0
// Grants of the domain to itself: mapping and unmapping in every way, copies, swaps, transfer, cache flushes, and the
// status of each refusal.
#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "grant_self";

namespace {

constexpr uint64_t table_va = 0x28000000000; // slot 5
constexpr unsigned in_use = GTF_reading | GTF_writing;

volatile grant_entry_v1_t& entry(unsigned reference) {
    return reinterpret_cast<grant_entry_v1_t*>(table_va)[reference];
}

long grant_op(unsigned command, void* request, uint64_t count = 1) {
    return hypercall(__HYPERVISOR_grant_table_op, command, request, count);
}

domid_t self() {
    static const domid_t number = own_domid();
    return number;
}

bool setup() {
    gnttab_query_size size{};
    size.dom = DOMID_SELF;
    expect_result(grant_op(GNTTABOP_query_size, &size), 0, "query_size");
    expect(size.status == GNTST_okay && size.nr_frames >= 1, "query_size: status %d, %u frames at start", size.status,
           size.nr_frames);
    xen_pfn_t list[1] = {};
    gnttab_setup_table request{};
    request.dom = DOMID_SELF;
    request.nr_frames = 1;
    set_xen_guest_handle(request.frame_list, list);
    return expect_result(grant_op(GNTTABOP_setup_table, &request), 0, "setup_table") &&
           expect_result(request.status, GNTST_okay, "setup_table's status") &&
           expect_result(map_page(table_va, list[0], kernel_rw), 0, "mapping of the grant table");
}

void grant(unsigned reference, const void* page, unsigned flags = 0) {
    entry(reference).frame = static_cast<uint32_t>(virt_to_mfn(page));
    entry(reference).domid = self();
    __atomic_store_n(&entry(reference).flags, static_cast<uint16_t>(GTF_permit_access | flags), __ATOMIC_RELEASE);
}

gnttab_map_grant_ref map(unsigned reference, uint64_t host_addr, unsigned flags) {
    gnttab_map_grant_ref request{};
    request.host_addr = host_addr;
    request.flags = flags;
    request.ref = reference;
    request.dom = self();
    expect_result(grant_op(GNTTABOP_map_grant_ref, &request), 0, "map");
    return request;
}

int unmap(grant_handle_t handle, uint64_t host_addr, uint64_t bus_addr = 0) {
    gnttab_unmap_grant_ref request{};
    request.host_addr = host_addr;
    request.dev_bus_addr = bus_addr;
    request.handle = handle;
    expect_result(grant_op(GNTTABOP_unmap_grant_ref, &request), 0, "unmap");
    return request.status;
}

void status_is(int got, int wanted, const char* what) {
    expect(got == wanted, "%s: status %d, not %d", what, got, wanted);
}

void mappings() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    auto* window = static_cast<volatile uint64_t*>(alloc_page());
    const uint64_t at = address_of(window);
    page[0] = 0x600d;
    grant(20, const_cast<uint64_t*>(page));
    const auto mapped = map(20, at, GNTMAP_host_map);
    status_is(mapped.status, GNTST_okay, "map");
    expect(window[0] == 0x600d, "the mapping shows %lx", window[0]);
    expect((entry(20).flags & in_use) == in_use, "flags of a mapped grant: %x", entry(20).flags);
    expect(mapped.dev_bus_addr == virt_to_mfn(page) << page_shift, "bus address %lx", mapped.dev_bus_addr);

    status_is(unmap(mapped.handle, at + page_size), GNTST_general_error, "unmap elsewhere");
    status_is(unmap(mapped.handle, 0), GNTST_okay, "unmap of nothing");
    gnttab_swap_grant_ref swap{};
    swap.ref_a = 20;
    swap.ref_b = 21;
    expect_result(grant_op(GNTTABOP_swap_grant_ref, &swap), 0, "swap");
    status_is(swap.status, GNTST_eagain, "swap of a mapped grant");
    entry(20).flags = 0; // revoked by force: the mapping goes on
    expect(window[0] == 0x600d, "the mapping of a revoked grant shows %lx", window[0]);
    status_is(unmap(mapped.handle, at), GNTST_okay, "unmap of a revoked grant");
    status_is(unmap(mapped.handle, at), GNTST_bad_handle, "unmap twice");

    grant(20, const_cast<uint64_t*>(page), GTF_readonly);
    status_is(map(20, at, GNTMAP_host_map).status, GNTST_general_error, "writable map of a read-only grant");
    const auto by_entry = map(20, entry_machine_address(at), GNTMAP_host_map | GNTMAP_contains_pte | GNTMAP_readonly);
    status_is(by_entry.status, GNTST_okay, "map by entry");
    expect((entry(20).flags & in_use) == GTF_reading, "flags of a grant mapped for reading: %x", entry(20).flags);
    status_is(unmap(by_entry.handle, entry_machine_address(at)), GNTST_okay, "unmap by entry");

    status_is(map(20, at, 0).status, GNTST_bad_gntref, "map of no kind");
    status_is(map(0xffffff, at, GNTMAP_host_map).status, GNTST_bad_gntref, "map of a wild reference");
    status_is(map(30, at, GNTMAP_host_map).status, GNTST_general_error, "map of an unused entry");
    grant(31, root_table());
    status_is(map(31, at, GNTMAP_host_map).status, GNTST_general_error, "writable map of a page table");
    grant(32, const_cast<uint64_t*>(page));
    entry(32).frame = 0x7ffffff;
    status_is(map(32, at, GNTMAP_host_map | GNTMAP_readonly).status, GNTST_bad_page, "map of a wild frame");
}

void device_mappings() {
    void* page = alloc_page();
    grant(20, page);
    const auto mapped = map(20, 0, GNTMAP_device_map);
    status_is(mapped.status, GNTST_okay, "map for a device");
    expect((entry(20).flags & in_use) == in_use, "flags: %x", entry(20).flags);
    status_is(unmap(mapped.handle, 0), GNTST_okay, "unmap of nothing");
    status_is(unmap(mapped.handle, 0, page_size), GNTST_bad_dev_addr, "unmap with a wrong bus address");
    expect((entry(20).flags & in_use) == in_use, "flags: %x", entry(20).flags);
    status_is(unmap(mapped.handle, 0, mapped.dev_bus_addr), GNTST_okay, "unmap from a device");
    expect((entry(20).flags & in_use) == 0, "flags: %x", entry(20).flags);
}

void replacement() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    auto* window = static_cast<volatile uint64_t*>(alloc_page());
    auto* other = static_cast<volatile uint64_t*>(alloc_page());
    grant(20, const_cast<uint64_t*>(page));
    page[0] = 1;
    other[0] = 2;
    const auto mapped = map(20, address_of(window), GNTMAP_host_map);
    status_is(mapped.status, GNTST_okay, "map");
    gnttab_unmap_and_replace request{};
    request.host_addr = address_of(window);
    request.new_addr = address_of(other);
    request.handle = mapped.handle;
    expect_result(grant_op(GNTTABOP_unmap_and_replace, &request), 0, "unmap_and_replace");
    status_is(request.status, GNTST_okay, "unmap_and_replace");
    expect(window[0] == 2, "the other mapping came as %lx", window[0]);
    expect((*entry_of(address_of(other)) & pte_present) == 0, "and is still there");
    expect_result(grant_op(GNTTABOP_unmap_and_replace, &request), 0, "unmap_and_replace");
    status_is(request.status, GNTST_bad_handle, "unmap_and_replace twice");
}

void copies() {
    auto* from = static_cast<volatile uint64_t*>(alloc_page());
    auto* to = static_cast<volatile uint64_t*>(alloc_page());
    grant(20, const_cast<uint64_t*>(from), GTF_readonly);
    grant(21, const_cast<uint64_t*>(to));
    from[0] = 0x600d;
    gnttab_copy request{};
    request.source.u.ref = 20;
    request.source.domid = self();
    request.dest.u.ref = 21;
    request.dest.domid = DOMID_SELF;
    request.len = 8;
    request.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    const auto copy = [&](int wanted, const char* what) {
        expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy");
        status_is(request.status, wanted, what);
    };
    copy(GNTST_okay, "copy by references");
    expect(to[0] == 0x600d, "copied %lx", to[0]);
    expect((entry(20).flags & in_use) == 0 && (entry(21).flags & in_use) == 0, "a copy left marks");
    request.source.offset = 4092;
    copy(GNTST_bad_copy_arg, "copy over the end");
    request.source.offset = 0;
    request.dest.u.ref = 20;
    copy(GNTST_general_error, "copy to a read-only grant");
    request.dest.u.ref = 0xffffff;
    copy(GNTST_bad_gntref, "copy to a wild reference");
    request.flags = GNTCOPY_source_gref;
    request.dest.u.gmfn = virt_to_mfn(root_table());
    copy(GNTST_general_error, "copy onto a page table");
    request.dest.u.gmfn = 0xfffffffff;
    copy(GNTST_bad_page, "copy to a wild frame");
    request.dest.u.gmfn = virt_to_mfn(to);
    request.dest.domid = self();
    copy(GNTST_permission_denied, "copy to a frame of a domain by number");
    request.dest.domid = 77;
    copy(GNTST_bad_domain, "copy to a frame of a domain that is not");
    request.flags |= GNTCOPY_dest_gref;
    copy(GNTST_bad_domain, "copy to a grant of a domain that is not");
}

void transfer() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    const uint64_t mfn = virt_to_mfn(page);
    page[0] = 0x600d;
    entry(20).frame = static_cast<uint32_t>(virt_to_pfn(page));
    entry(20).domid = self();
    __atomic_store_n(&entry(20).flags, GTF_accept_transfer, __ATOMIC_RELEASE);
    gnttab_transfer request{};
    request.mfn = mfn;
    request.domid = self();
    request.ref = 20;
    expect_result(grant_op(GNTTABOP_transfer, &request), 0, "transfer");
    status_is(request.status, GNTST_bad_page, "transfer of a mapped frame");
    expect_result(update_va_mapping(address_of(page), 0), 0, "unmap");
    expect_result(grant_op(GNTTABOP_transfer, &request), 0, "transfer");
    status_is(request.status, GNTST_okay, "transfer to itself");
    expect(entry(20).flags == (GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed), "flags %x",
           entry(20).flags);
    expect(entry(20).frame == mfn, "frame %x, not %lx", entry(20).frame, mfn);
    expect_result(set_writable(const_cast<uint64_t*>(page)), 0, "mapping of the frame that came back");
    expect(page[0] == 0x600d, "it holds %lx", page[0]);
    request.mfn = 0xfffffffff;
    expect_result(grant_op(GNTTABOP_transfer, &request), 0, "transfer");
    status_is(request.status, GNTST_bad_page, "transfer of a wild frame");
}

void cache_flush() {
    void* page = alloc_page();
    gnttab_cache_flush request{};
    request.a.dev_bus_addr = virt_to_mfn(page) << page_shift;
    request.length = 64;
    request.op = GNTTAB_CACHE_CLEAN;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), 0, "clean");
    request.op = GNTTAB_CACHE_INVAL | GNTTAB_CACHE_CLEAN;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), 0, "clean and invalidate");
    request.op = GNTTAB_CACHE_INVAL;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), -XEN_EOPNOTSUPP, "invalidate");
    request.op = static_cast<uint32_t>(GNTTAB_CACHE_SOURCE_GREF) | GNTTAB_CACHE_CLEAN;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), -XEN_EINVAL, "by reference");
    request.op = GNTTAB_CACHE_CLEAN;
    request.offset = 4090;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), -XEN_EINVAL, "over the end");
    request.length = 0;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), 0, "nothing");
    request.length = 1;
    request.a.dev_bus_addr = 0xffffffffffff;
    expect_result(grant_op(GNTTABOP_cache_flush, &request), -XEN_EINVAL, "of a wild address");
}

} // namespace

void test() {
    if (!setup()) {
        return;
    }
    mappings();
    device_mappings();
    replacement();
    copies();
    transfer();
    cache_flush();
    gnttab_copy none{};
    expect_result(grant_op(GNTTABOP_dump_table, &none), -XEN_ENOSYS, "dump_table");
    expect_result(grant_op(0x1000 | GNTTABOP_copy, &none), -XEN_EINVAL, "a continuation that is none");
    expect_result(grant_op(GNTTABOP_copy, &none, 0xffffffff), -XEN_EINVAL, "a negative count");
    expect_result(grant_op(GNTTABOP_copy, reinterpret_cast<void*>(machphys_start()), 1), -XEN_EFAULT, "a bad array");
}

} // namespace parapet::guest
