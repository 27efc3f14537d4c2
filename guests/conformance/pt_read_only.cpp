// SPDX-License-Identifier: Apache-2.0
// A page table written directly, with writable page tables off, is a page fault of the guest.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_read_only";

void test() {
    void* page = alloc_page();
    uint64_t* pte = entry_of(address_of(page));
    const uint64_t before = *pte;
    if (!is_initial_domain()) { // for which Xen emulates writes to level 1 even with the assist off
        const Caught got = catch_trap([&] { *const_cast<volatile uint64_t*>(pte) = before ^ pte_dirty; });
        expect_trap(got, vector_pf, 3, "write to an L1 entry", address_of(pte));
    }
    expect(*pte == before, "the entry changed");

    uint64_t* top = entry_of(address_of(page), 4);
    expect_trap(catch_trap([&] { *const_cast<volatile uint64_t*>(top) = *top; }), vector_pf, 3, "write to an L4 entry",
                address_of(top));
    *static_cast<volatile uint64_t*>(page) = 1; // still mapped
}

} // namespace parapet::guest
