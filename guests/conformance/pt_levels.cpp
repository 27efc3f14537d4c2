// SPDX-License-Identifier: Apache-2.0
// Tables take only entries of the right level; loops of types, superpages and foreign bits are refused.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pt_levels";

void test() {
    const uint64_t data_mfn = virt_to_mfn(alloc_page());
    uint64_t* level1 = new_table(make_pte(data_mfn, kernel_rw));
    uint64_t* level2 = new_table(make_pte(virt_to_mfn(level1), table_flags));
    uint64_t* level3 = new_table(make_pte(virt_to_mfn(level2), table_flags));
    const uint64_t machine4 = entry_machine_address(free_window, 4);

    expect_result(write_entry(machine4, make_pte(virt_to_mfn(level3), table_flags)), 0, "link L3");
    expect(*reinterpret_cast<volatile uint64_t*>(free_window) == 0, "the new tree does not translate");

    expect_result(write_entry(entry_machine_address(free_window, 3), make_pte(virt_to_mfn(level1), table_flags)),
                  -XEN_EINVAL, "an L1 where an L2 belongs");
    expect_result(write_entry(entry_machine_address(free_window, 2), make_pte(virt_to_mfn(level2), table_flags)),
                  -XEN_EINVAL, "an L2 where an L1 belongs");
    expect_result(write_entry(machine4, make_pte(virt_to_mfn(level2), table_flags)), -XEN_EINVAL,
                  "an L2 where an L3 belongs");
    expect_refused(
        write_entry(entry_machine_address(free_window, 2), make_pte(data_mfn & ~0x1fful, table_flags | pte_large)),
        "a 2 MiB page");
    expect_refused(write_entry(entry_machine_address(free_window, 3), make_pte(0, table_flags | pte_large)),
                   "a 1 GiB page");
    expect_refused(write_entry(machine4, make_pte(virt_to_mfn(level3), table_flags | pte_large)), "PS in an L4 entry");
    expect_refused(update_va_mapping(free_window, make_pte(data_mfn, kernel_rw) | (1ul << 51)), "a frame beyond all");

    // Only flags changed, same frame: no revalidation, still right.
    expect_result(
        write_entry(entry_machine_address(free_window, 2), make_pte(virt_to_mfn(level1), table_flags & ~pte_write)), 0,
        "L2 entry made read-only");
    expect_result(update_va_mapping(free_window, make_pte(data_mfn, kernel_ro)), 0, "L1 entry made read-only");
    expect_trap(catch_trap([] { *reinterpret_cast<volatile uint64_t*>(free_window) = 1; }), vector_pf, 3,
                "write to a read-only page", free_window);
    expect_result(write_entry(machine4, 0), 0, "unlink");
    expect_trap(catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(free_window); }), vector_pf, 0,
                "read after the unlink", free_window);
    for (void* table : {level1, level2, level3}) {
        expect_result(set_writable(table), 0, "former table writable");
    }
}

} // namespace parapet::guest
