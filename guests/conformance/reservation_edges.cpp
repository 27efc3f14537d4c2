// SPDX-License-Identifier: Apache-2.0
// Changes of the reservation: none, too many, partial ones, orders, address limits, lists that end in a hole, and large
// ones that the hypervisor interrupts. The result is how many extents are done, and whatever stopped the rest is not
// told.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "reservation_edges";

namespace {

constexpr domid_t no_domain = 0x7000;
constexpr unsigned extent_shift = 6; // of a memory_op's command: how many extents are done, where it goes on
constexpr unsigned count = 600;      // more than one page of frame numbers
xen_pfn_t* list;
unsigned char* area;

xen_memory_reservation request(uint64_t extents, unsigned order = 0) {
    xen_memory_reservation result{};
    set_xen_guest_handle(result.extent_start, list);
    result.nr_extents = extents;
    result.extent_order = order;
    result.domid = DOMID_SELF;
    return result;
}

long change(unsigned command, xen_memory_reservation what) {
    return memory_op(command, &what);
}

long current() {
    domid_t self = DOMID_SELF;
    return memory_op(XENMEM_current_reservation, &self);
}

/// The frames of the area, unmapped, in the list.
void take_area() {
    for (unsigned i = 0; i < count; ++i) {
        list[i] = virt_to_mfn(area + i * page_size);
        expect_result(update_va_mapping(address_of(area + i * page_size), 0), 0, "unmap");
    }
}

/// The frames of the list become the area.
void fill_area() {
    for (unsigned i = 0; i < count; ++i) {
        set_pfn_to_mfn(virt_to_pfn(area + i * page_size), list[i]);
        expect_result(set_writable(area + i * page_size), 0, "map");
    }
}

void want_pfns() {
    for (unsigned i = 0; i < count; ++i) {
        list[i] = virt_to_pfn(area + i * page_size);
    }
}

void nothing_to_do() {
    for (const unsigned command : {XENMEM_increase_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap}) {
        expect_result(change(command, request(0)), 0, "no extents");
        expect_result(memory_op(command, reinterpret_cast<void*>(0x1000)), 0, "bad pointer");
        expect_result(change(command, request(1ul << 59)), 0, "more extents than a call can have");
        expect_result(change(command, request(1, 10)), 0, "a larger order than a guest may have");
        expect_result(change(command, request(1, 63)), 0, "a far larger order");
        xen_memory_reservation other = request(1);
        other.domid = no_domain;
        expect_result(change(command, other), 0, "for no domain");
        if (!is_initial_domain()) {
            other.domid = 0;
            expect_result(change(command, other), 0, "for domain 0");
        }
        // As if it went on behind the last extent.
        expect_result(change(command | 5u << extent_shift, request(5)), 5, "a call that is done");
        expect_result(change(command | 5u << extent_shift, request(3)), 5, "a call that is more than done");
    }
}

void large_and_back() {
    const long before = current();
    take_area();
    expect_result(change(XENMEM_decrease_reservation, request(count)), count, "decrease");
    expect(current() == before - static_cast<long>(count), "%ld pages, were %ld", current(), before);
    for (const unsigned i : {0u, count / 2, count - 1}) {
        expect_result(update_va_mapping(address_of(area), make_pte(list[i], kernel_ro)), -XEN_EBUSY,
                      "a frame that was given back");
    }
    expect_result(change(XENMEM_decrease_reservation, request(count)), 0, "decrease by the same");
    want_pfns();
    expect_result(change(XENMEM_populate_physmap, request(count)), count, "populate");
    for (unsigned i = 0; i < count; ++i) {
        if (!expect(mfn_to_pfn(list[i]) == virt_to_pfn(area + i * page_size), "M2P of frame %u", i)) {
            break;
        }
    }
    fill_area();
    expect(current() == before, "%ld pages, were %ld", current(), before);
}

/// Stops at the first frame that cannot go, and says how many went.
void partial_decrease() {
    const long before = current();
    take_area();
    const xen_pfn_t spoilt = list[10];
    list[10] = 0xfffffffff;
    expect_result(change(XENMEM_decrease_reservation, request(count)), 10, "the eleventh is no frame");
    list[10] = virt_to_mfn(root_table());
    // As if ten were done already; then from the first on.
    expect(current() == before - 10, "%ld pages, were %ld", current(), before);
    list[10] = spoilt;
    expect_result(change(XENMEM_decrease_reservation | 10u << extent_shift, request(20)), 20, "the next ten");
    expect(current() == before - 20, "%ld pages, were %ld", current(), before);
    static xen_pfn_t rest[count];
    memcpy(rest, list, sizeof(rest));
    expect_result(change(XENMEM_increase_reservation, request(20)), 20, "increase");
    memcpy(list + 20, rest + 20, sizeof(rest) - 20 * sizeof(rest[0]));
    fill_area();
    for (unsigned i = 0; i < 20; ++i) {
        expect_result(write_entry(list[i] << page_shift, virt_to_pfn(area + i * page_size), MMU_MACHPHYS_UPDATE), 0,
                      "M2P");
    }
}

/// A list whose second half is not there.
void list_ends_in_a_hole() {
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    auto* edge = reinterpret_cast<xen_pfn_t*>(pages + page_size) - 3;
    const long before = current();
    take_area();
    memcpy(edge, list, 3 * sizeof(edge[0]));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    xen_memory_reservation what = request(6);
    set_xen_guest_handle(what.extent_start, edge);
    expect_result(change(XENMEM_decrease_reservation, what), 3, "three of six are there");
    expect(current() == before - 3, "%ld pages, were %ld", current(), before);
    for (unsigned i = 0; i < 3; ++i) {
        edge[i] = virt_to_pfn(area + i * page_size);
    }
    expect_result(change(XENMEM_populate_physmap, what), 3, "three of six are there");
    expect(current() == before, "%ld pages, were %ld", current(), before);
    memcpy(list, edge, 3 * sizeof(edge[0]));
    fill_area();
}

/// The maximum is a limit, and where the guest is at it nothing comes.
void at_the_maximum() {
    if (is_initial_domain()) {
        return;
    }
    domid_t self = DOMID_SELF;
    const long room = memory_op(XENMEM_maximum_reservation, &self) - current();
    print("info: room for %ld pages\n", room);
    want_pfns();
    const long got = change(XENMEM_populate_physmap, request(count));
    expect(got == (room < count ? room : count), "%ld of %u where there is room for %ld", got, count, room);
    if (got > 0) {
        expect_result(change(XENMEM_decrease_reservation, request(static_cast<unsigned long>(got))), got, "back");
    }
}

/// 2^3 frames in one extent; addresses below a limit that no frame has.
void orders() {
    take_area();
    const unsigned given = 64;
    expect_result(change(XENMEM_decrease_reservation, request(given)), given, "decrease");
    static xen_pfn_t rest[count];
    memcpy(rest, list, sizeof(rest));
    for (unsigned i = 0; i < given / 8; ++i) {
        list[i] = virt_to_pfn(area + 8 * i * page_size);
    }
    const long extents = change(XENMEM_populate_physmap, request(given / 8, 3));
    expect_result(extents, given / 8, "extents of eight frames");
    xen_pfn_t first[given / 8];
    memcpy(first, list, sizeof(first));
    for (unsigned i = 0; i < given; ++i) {
        list[i] = first[i / 8] + i % 8;
        expect(mfn_to_pfn(list[i]) == virt_to_pfn(area + i * page_size), "M2P of frame %u of an extent", i % 8);
    }
    memcpy(list + given, rest + given, sizeof(rest) - given * sizeof(rest[0]));
    fill_area();
    // And back as one.
    for (unsigned i = 0; i < 8; ++i) {
        expect_result(update_va_mapping(address_of(area + i * page_size), 0), 0, "unmap");
    }
    list[0] = first[0];
    expect_result(change(XENMEM_decrease_reservation, request(1, 3)), 1, "an extent of eight frames goes back");
    list[0] = virt_to_pfn(area);
    xen_memory_reservation low = request(1);
    low.mem_flags = XENMEMF_address_bits(10);
    expect_result(change(XENMEM_populate_physmap, low), 0, "a frame below 1 KiB");
    low.mem_flags = XENMEMF_address_bits(63);
    expect_result(change(XENMEM_populate_physmap, low), 1, "a frame below 2^63");
}

} // namespace

void test() {
    list = static_cast<xen_pfn_t*>(alloc_pages(count * sizeof(xen_pfn_t) / page_size + 1));
    area = static_cast<unsigned char*>(alloc_pages(count + 8));
    while (virt_to_mfn(area) % 8 != 0) { // for extents of eight frames, where there are no others than ours
        area += page_size;
    }
    nothing_to_do();
    large_and_back();
    partial_decrease();
    list_ends_in_a_hole();
    at_the_maximum();
    orders();
}

} // namespace parapet::guest
