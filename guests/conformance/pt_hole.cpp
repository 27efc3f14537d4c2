// SPDX-License-Identifier: Apache-2.0
// The hypervisor's slots: no entry of ours in them, no mapping there, M2P readable and not writable.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_hole";

void test() {
    const uint64_t root_machine = virt_to_mfn(root_table()) << page_shift;
    void* page = alloc_page();
    const uint64_t mapping = make_pte(virt_to_mfn(page), kernel_ro);
    uint64_t* level3 = new_table();
    for (unsigned slot = 256; slot <= 271; ++slot) {
        expect_refused(write_entry(root_machine + slot * 8, make_pte(virt_to_mfn(level3), table_flags)), "L4 slot");
        expect_refused(write_entry(root_machine + slot * 8, 0), "clearing an L4 slot");
    }
    expect_refused(update_va_mapping(HYPERVISOR_VIRT_START, mapping), "mapping at the start of the hole");
    expect_refused(update_va_mapping(machphys_start(), mapping), "mapping over the M2P");
    expect_refused(update_va_mapping(HYPERVISOR_VIRT_END - page_size, mapping), "mapping at the end of the hole");

    volatile uint64_t* entry = reinterpret_cast<uint64_t*>(machphys_start()) + virt_to_mfn(page);
    expect(*entry == virt_to_pfn(page), "M2P entry is %lx", *entry);
    expect_trap(catch_trap([&] { *entry = 0; }), vector_pf, 3, "write to the M2P", address_of(entry));
    const uint64_t last_pages[] = {HYPERVISOR_VIRT_END - page_size, 0xffff830000000000};
    for (const uint64_t va : last_pages) {
        const Caught got = catch_trap([=] { (void)*reinterpret_cast<volatile uint64_t*>(va); });
        expect(got.vector == vector_pf, "reading %lx gave vector %d", va, static_cast<int>(got.vector));
    }
}

} // namespace parapet::guest
