// SPDX-License-Identifier: Apache-2.0
// memory_op: giving frames back and taking frames, by all three operations; limits and wrong requests.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "balloon";

namespace {

constexpr unsigned count = 32;
xen_pfn_t frames[count];

long reservation(unsigned command, xen_pfn_t* list, uint64_t extents, unsigned order = 0) {
    xen_memory_reservation request{};
    set_xen_guest_handle(request.extent_start, list);
    request.nr_extents = extents;
    request.extent_order = order;
    request.domid = DOMID_SELF;
    return memory_op(command, &request);
}

unsigned char* area;

void unmap_area() {
    for (unsigned i = 0; i < count; ++i) {
        frames[i] = virt_to_mfn(area + i * page_size);
        expect_result(update_va_mapping(address_of(area + i * page_size), 0), 0, "unmap");
    }
}

/// Takes the frames in `frames` as the area's memory.
void map_area() {
    for (unsigned i = 0; i < count; ++i) {
        const uint64_t pfn = virt_to_pfn(area + i * page_size);
        set_pfn_to_mfn(pfn, frames[i]);
        if (mfn_to_pfn(frames[i]) != pfn) {
            expect_result(write_entry(frames[i] << page_shift, pfn, MMU_MACHPHYS_UPDATE), 0, "M2P");
        }
        expect_result(set_writable(area + i * page_size), 0, "map");
        *reinterpret_cast<volatile uint64_t*>(area + i * page_size) = i;
    }
}

long current() {
    domid_t self = DOMID_SELF;
    return memory_op(XENMEM_current_reservation, &self);
}

void errors() {
    domid_t self = DOMID_SELF;
    const long most = memory_op(XENMEM_maximum_reservation, &self);
    print("info: current %ld, maximum %ld pages\n", current(), most);
    expect(most == -1 || most >= current(), "the maximum %ld is below the current reservation", most);
    xen_pfn_t wild[2] = {0xfffffffff, virt_to_mfn(root_table())};
    expect_result(reservation(XENMEM_decrease_reservation, wild, 1), 0, "giving back a wild frame: none done");
    expect_result(reservation(XENMEM_decrease_reservation, reinterpret_cast<xen_pfn_t*>(0x1000), 1), 0,
                  "a bad list: none done");
    expect(memory_op(XENMEM_decrease_reservation, reinterpret_cast<void*>(0x1000)) <= 0, "bad pointer: some done");
    expect_result(memory_op(63, wild), -XEN_ENOSYS, "unknown memory_op");
    expect(reservation(XENMEM_populate_physmap, wild, 1, 60) <= 0, "an order of 60");
}

} // namespace

void test() {
    area = static_cast<unsigned char*>(alloc_pages(count));
    const long before = current();
    expect(before > 0, "current reservation: %ld", before);

    unmap_area();
    expect_result(reservation(XENMEM_decrease_reservation, frames, count), count, "decrease");
    expect(current() == before - static_cast<long>(count), "the reservation is %ld, was %ld", current(), before);
    expect_refused(update_va_mapping(address_of(area), make_pte(frames[0], kernel_rw)), "a frame given back");
    for (unsigned i = 0; i < count; ++i) {
        frames[i] = virt_to_pfn(area + i * page_size);
    }
    expect_result(reservation(XENMEM_populate_physmap, frames, count), count, "populate_physmap");
    expect(current() == before, "the reservation is %ld after populating, was %ld", current(), before);
    for (unsigned i = 0; i < count; ++i) {
        const uint64_t pfn = virt_to_pfn(area + i * page_size);
        expect(mfn_to_pfn(frames[i]) == pfn, "populate_physmap left M2P of %lx at %lx", frames[i],
               mfn_to_pfn(frames[i]));
    }
    map_area();

    unmap_area();
    expect_result(reservation(XENMEM_decrease_reservation, frames, count), count, "decrease again");
    expect_result(reservation(XENMEM_increase_reservation, frames, count), count, "increase");
    map_area();
    for (unsigned i = 0; i < count; ++i) {
        expect(*reinterpret_cast<volatile uint64_t*>(area + i * page_size) == i, "two pages share a frame");
    }
    errors();
}

} // namespace parapet::guest
