// SPDX-License-Identifier: Apache-2.0
// Pinning: types, counts, double pins, unpins without a pin, a pinned table stays a table.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "pin";

void test() {
    void* page = alloc_page();
    const uint64_t mfn = virt_to_mfn(page);
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL, "pin of a page with a writable mapping");
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, mfn), -XEN_EINVAL, "unpin of a page never pinned");
    expect_result(set_read_only(page), 0, "read-only");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, mfn), 0, "pin L1");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL, "pin twice");
    expect_result(mmuext_mfn(MMUEXT_PIN_L2_TABLE, mfn), -XEN_EINVAL, "L1 pinned as L2");
    expect_type_conflict(set_writable(page), "writable mapping of a pinned table");

    // Entries of a pinned table that hangs nowhere are validated all the same.
    const uint64_t data_mfn = virt_to_mfn(alloc_page());
    expect_result(write_entry(mfn << page_shift, make_pte(data_mfn, kernel_rw)), 0, "entry in a pinned table");
    expect_refused(write_entry((mfn << page_shift) + 8, make_pte(virt_to_mfn(root_table()), kernel_rw)),
                   "bad entry in a pinned table");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, data_mfn), -XEN_EINVAL, "a page that the table maps writable");
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, mfn), 0, "unpin");
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, mfn), -XEN_EINVAL, "unpin twice");
    expect_result(set_writable(page), 0, "writable again");

    // A table with one bad entry is not accepted, and nothing of the try is left.
    auto* table = static_cast<volatile uint64_t*>(page);
    table[0] = make_pte(data_mfn, kernel_rw);
    table[511] = make_pte(virt_to_mfn(root_table()), kernel_rw);
    expect_result(set_read_only(page), 0, "read-only");
    expect_type_conflict(mmuext_mfn(MMUEXT_PIN_L1_TABLE, mfn), "pin of a table with a bad last entry");
    expect_result(set_writable(page), 0, "writable after the failed pin");
    table[511] = 0;
    expect_result(set_read_only(page), 0, "read-only");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, mfn), 0, "pin after the repair");

    uint64_t* level2 = new_table(make_pte(mfn, table_flags));
    uint64_t* level3 = new_table(make_pte(virt_to_mfn(level2), table_flags));
    uint64_t* level4 = new_table(make_pte(virt_to_mfn(level3), table_flags));
    expect_result(mmuext_mfn(MMUEXT_PIN_L4_TABLE, virt_to_mfn(level4)), 0, "pin L4 over a pinned L1");
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, mfn), 0, "unpin the L1 below");
    expect_type_conflict(set_writable(page), "the L1 is still in use");
    expect_result(mmuext_mfn(MMUEXT_UNPIN_TABLE, virt_to_mfn(level4)), 0, "unpin L4");
    expect_result(set_writable(page), 0, "the L1 is free");
    expect_refused(mmuext_mfn(MMUEXT_PIN_L4_TABLE, 0xfffffffff), "pin of a wild frame");
}

} // namespace parapet::guest
