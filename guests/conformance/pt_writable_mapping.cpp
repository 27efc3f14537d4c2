// SPDX-License-Identifier: Apache-2.0
// Invariant 1: no page table can be mapped writable, by any way of asking.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_writable_mapping";

void test() {
    const uint64_t root_mfn = virt_to_mfn(root_table());
    void* page = alloc_page();
    const uint64_t va = address_of(page);
    const uint64_t own_mfn = virt_to_mfn(page);

    expect_type_conflict(update_va_mapping(va, make_pte(root_mfn, kernel_rw)), "root writable, update_va_mapping");
    expect_type_conflict(write_entry(entry_machine_address(va), make_pte(root_mfn, kernel_rw)),
                         "root writable, mmu_update");
    for (unsigned level = 1; level <= 3; ++level) {
        const uint64_t table_mfn = virt_to_mfn(reinterpret_cast<void*>(address_of(entry_of(va, level)) & ~0xffful));
        expect_type_conflict(update_va_mapping(va, make_pte(table_mfn, kernel_rw)), "table writable");
        expect_result(update_va_mapping(va, make_pte(table_mfn, kernel_ro)), 0, "table read-only");
    }
    expect_result(update_va_mapping(va, make_pte(own_mfn, kernel_rw)), 0, "own page back");

    // The other order: a page with a writable mapping cannot become a table.
    const uint64_t machine = entry_machine_address(free_window, 4);
    expect_type_conflict(write_entry(machine, make_pte(own_mfn, table_flags)), "writable page as L3");
    expect(*entry_of(free_window, 4) == 0, "a refused entry was written");
    expect_result(set_read_only(page), 0, "read-only");
    expect_result(write_entry(machine, make_pte(own_mfn, table_flags)), 0, "read-only page as L3");
    expect_type_conflict(set_writable(page), "table made writable again");
    expect_result(write_entry(machine, 0), 0, "unlink");
    expect_result(set_writable(page), 0, "former table writable");
    *static_cast<volatile uint64_t*>(page) = 1;
}

} // namespace parapet::guest
