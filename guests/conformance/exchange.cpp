// SPDX-License-Identifier: Apache-2.0
// XENMEM_exchange: single pages for single pages, results that cannot be written, wrong requests.
#include "guests/conformance/check.hpp"
#include "guests/conformance/exchange_request.hpp"

namespace parapet::guest {

const char* const test_name = "exchange";

namespace {

constexpr unsigned count = 8;
xen_pfn_t given[count];
unsigned char* area;

/// What was exchanged by the last call.
unsigned long done;

long exchange(xen_pfn_t* taken, unsigned frames, unsigned in_order = 0, unsigned out_order = 0) {
    xen_memory_exchange request = exchange_request(given, taken, frames, in_order, out_order);
    const long result = memory_op(XENMEM_exchange, &request);
    done = request.nr_exchanged;
    return result;
}

void unmap_area() {
    for (unsigned i = 0; i < count; ++i) {
        given[i] = virt_to_mfn(area + i * page_size);
        expect_result(update_va_mapping(address_of(area + i * page_size), 0), 0, "unmap");
    }
}

void map_area(const xen_pfn_t* frames) {
    for (unsigned i = 0; i < count; ++i) {
        set_pfn_to_mfn(virt_to_pfn(area + i * page_size), frames[i]);
        expect_result(set_writable(area + i * page_size), 0, "map");
        *reinterpret_cast<volatile uint64_t*>(area + i * page_size) = i;
    }
}

} // namespace

void test() {
    area = static_cast<unsigned char*>(alloc_pages(count));
    auto* taken = static_cast<xen_pfn_t*>(alloc_page());
    for (unsigned i = 0; i < count; ++i) {
        given[i] = virt_to_mfn(area + i * page_size);
        taken[i] = virt_to_pfn(area + i * page_size);
    }
    expect_result(exchange(taken, count), -XEN_EINVAL, "frames that are mapped");
    expect(done == 0, "%lu frames that are mapped were exchanged", done);
    unmap_area();
    expect_result(exchange(taken, count), 0, "exchange");
    expect(done == count, "%lu of %u exchanged", done, count);
    for (unsigned i = 0; i < count; ++i) {
        expect(mfn_to_pfn(taken[i]) == virt_to_pfn(area + i * page_size), "M2P of %lx is %lx", taken[i],
               mfn_to_pfn(taken[i]));
    }
    map_area(taken);
    for (unsigned i = 0; i < count; ++i) {
        expect(*reinterpret_cast<volatile uint64_t*>(area + i * page_size) == i, "two pages share a frame");
    }

    // Where the new numbers cannot be written: -EFAULT, none exchanged.
    unmap_area();
    expect_result(set_read_only(taken), 0, "read-only");
    expect_result(exchange(taken, count), -XEN_EFAULT, "results on a read-only page");
    expect(done == 0, "%lu exchanged", done);
    expect_result(exchange(reinterpret_cast<xen_pfn_t*>(0x1000), count), -XEN_EFAULT, "results at a hole");
    expect_result(memory_op(XENMEM_exchange, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
}

} // namespace parapet::guest
