// SPDX-License-Identifier: Apache-2.0
// XENMEM_exchange: what its argument must not say, frames that cannot go, none at all, and extents of other orders.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/exchange_request.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "exchange_errors";

namespace {

constexpr unsigned count = 8;
xen_pfn_t given[count], taken[count];
unsigned char* area;

xen_memory_exchange request(unsigned frames, unsigned in_order = 0, unsigned out_order = 0) {
    return exchange_request(given, taken, frames, in_order, out_order);
}

void refused(xen_memory_exchange what, long wanted, const char* why) {
    const uint64_t before = what.nr_exchanged;
    expect_result(memory_op(XENMEM_exchange, &what), wanted, why);
    expect(what.nr_exchanged == before, "%s: %lu exchanged", why, what.nr_exchanged);
}

void unmap_area() {
    for (unsigned i = 0; i < count; ++i) {
        given[i] = virt_to_mfn(area + i * page_size);
        taken[i] = virt_to_pfn(area + i * page_size);
        expect_result(update_va_mapping(address_of(area + i * page_size), 0), 0, "unmap");
    }
}

void map_area() {
    for (unsigned i = 0; i < count; ++i) {
        expect(mfn_to_pfn(taken[i]) == virt_to_pfn(area + i * page_size), "M2P of frame %u", i);
        set_pfn_to_mfn(virt_to_pfn(area + i * page_size), taken[i]);
        expect_result(set_writable(area + i * page_size), 0, "map");
    }
}

void arguments() {
    xen_memory_exchange what = request(count);
    what.out.nr_extents = count - 1;
    refused(what, -XEN_EINVAL, "more in than out");
    what = request(count);
    what.nr_exchanged = count + 1;
    refused(what, -XEN_EINVAL, "more done than there are");
    what = request(count);
    what.out.domid = 0x7000;
    refused(what, -XEN_EINVAL, "one domain in, another out");
    what.in.domid = 0x7000;
    refused(what, -XEN_ESRCH, "no domain");
    what = request(count);
    what.in.domid = what.out.domid = own_domid();
    what.in.nr_extents = what.out.nr_extents = 0;
    refused(what, 0, "none, of oneself by number");
    if (!is_initial_domain()) {
        what = request(count);
        what.in.domid = what.out.domid = 0;
        refused(what, -XEN_EPERM, "domain 0");
        what = request(1u << 10, 10, 0);
        refused(what, -XEN_EPERM, "a larger order than a guest may have");
        what = request(1u << 10, 0, 10);
        refused(what, -XEN_EPERM, "a larger order out");
    }
    what = request(0);
    refused(what, 0, "none");
    what = request(count);
    what.in.nr_extents = what.out.nr_extents = ~0ul >> 1;
    what.in.extent_order = what.out.extent_order = 2;
    refused(what, -XEN_EINVAL, "extents that are more than there can be frames");
    what = request(count);
    set_xen_guest_handle(what.in.extent_start, reinterpret_cast<xen_pfn_t*>(0x1000));
    refused(what, -XEN_EFAULT, "frames at a hole");
    set_xen_guest_handle(what.in.extent_start, reinterpret_cast<xen_pfn_t*>(HYPERVISOR_VIRT_START));
    refused(what, -XEN_EFAULT, "frames in the hypervisor");
}

/// Frames that are mapped, or a page table, or nobody's, among good ones of the same chunk.
void frames() {
    unmap_area();
    const xen_pfn_t good = given[3];
    for (const uint64_t bad : {0xfffffffffull, static_cast<unsigned long long>(virt_to_mfn(root_table()))}) {
        given[3] = bad;
        xen_memory_exchange what = request(count, 0, 3); // one chunk of all eight
        refused(what, -XEN_EINVAL, "a bad frame in the chunk");
    }
    given[3] = good;
    for (unsigned i = 0; i < count; ++i) { // nothing is lost
        expect_result(set_writable(area + i * page_size), 0, "map");
    }
}

/// Up to the bad frame, all is done; the count says how far.
void partly() {
    unmap_area();
    const xen_pfn_t good = given[5];
    given[5] = 0xfffffffff;
    xen_memory_exchange what = request(count);
    expect_result(memory_op(XENMEM_exchange, &what), -XEN_EINVAL, "a bad frame behind five good ones");
    expect(what.nr_exchanged == 5, "%lu exchanged", what.nr_exchanged);
    given[5] = good;
    expect_result(memory_op(XENMEM_exchange, &what), 0, "from there on");
    expect(what.nr_exchanged == count, "%lu exchanged", what.nr_exchanged);
    map_area();
}

void one_for_eight() {
    unmap_area();
    xen_memory_exchange what = request(count, 0, 3);
    expect_result(memory_op(XENMEM_exchange, &what), 0, "eight for one extent of eight");
    expect(what.nr_exchanged == count, "%lu exchanged", what.nr_exchanged);
    for (unsigned i = 1; i < count; ++i) {
        taken[i] = taken[0] + i;
    }
    map_area();
    unmap_area();
    what = request(count, 3, 0);
    expect_result(memory_op(XENMEM_exchange, &what), 0, "one extent of eight for eight");
    expect(what.nr_exchanged == 1, "%lu exchanged", what.nr_exchanged);
    map_area();
}

} // namespace

void test() {
    area = static_cast<unsigned char*>(alloc_pages(2 * count));
    while (virt_to_mfn(area) % count != 0) { // for an extent of eight frames, where there are no others than ours
        area += page_size;
    }
    arguments();
    frames();
    partly();
    one_for_eight();
}

} // namespace parapet::guest
