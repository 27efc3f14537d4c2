// SPDX-License-Identifier: Apache-2.0
// update_va_mapping: flush flags, addresses without a table, odd addresses.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "update_va";

void test() {
    auto* page = static_cast<volatile uint64_t*>(alloc_page());
    void* other = alloc_page();
    *static_cast<uint64_t*>(other) = 77;
    page[0] = 1;
    const uint64_t va = address_of(page);
    const uint64_t mfn = virt_to_mfn(page);
    expect_result(update_va_mapping(va, make_pte(virt_to_mfn(other), kernel_rw), UVMF_INVLPG), 0, "remap, INVLPG");
    expect(page[0] == 77, "stale translation after UVMF_INVLPG");
    expect_result(update_va_mapping(va, make_pte(mfn, kernel_rw), UVMF_TLB_FLUSH), 0, "remap, TLB_FLUSH");
    expect(page[0] == 1, "stale translation after UVMF_TLB_FLUSH");
    expect_result(update_va_mapping(va, make_pte(virt_to_mfn(other), kernel_rw), UVMF_INVLPG | UVMF_ALL), 0,
                  "remap, ALL");
    expect(page[0] == 77, "stale translation after UVMF_ALL");
    uint64_t vcpus = 1;
    expect_result(update_va_mapping(va, make_pte(mfn, kernel_rw), UVMF_INVLPG | address_of(&vcpus)), 0,
                  "remap, bitmap");
    expect(page[0] == 1, "stale translation after a vCPU bitmap");
    expect_result(update_va_mapping(va, 0), 0, "unmap");
    expect_trap(catch_trap([=] { (void)page[0]; }), vector_pf, 0, "read after the unmapping", va);
    expect_result(update_va_mapping(va, make_pte(mfn, kernel_rw)), 0, "map again");
    expect(page[0] == 1, "the page lost its contents");

    expect_result(update_va_mapping(free_window, make_pte(mfn, kernel_rw)), -XEN_EINVAL, "an address without a table");
    expect_refused(update_va_mapping(0x800000000000, make_pte(mfn, kernel_rw)), "a non-canonical address");
    expect_result(update_va_mapping(va, 0xdead000 & ~pte_present), 0, "a not-present entry with any bits");
    expect(*entry_of(va) == 0xdead000, "not-present bits are %lx", *entry_of(va));
    expect_result(update_va_mapping(va, make_pte(mfn, kernel_rw)), 0, "map again");
    // NX is honoured.
    expect_result(update_va_mapping(va, make_pte(mfn, kernel_rw) | pte_nx), 0, "no-execute");
    expect_trap(catch_trap([=] { reinterpret_cast<void (*)()>(va)(); }), vector_pf, 0x11, "execution of an NX page",
                va);
}

} // namespace parapet::guest
