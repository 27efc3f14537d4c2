// SPDX-License-Identifier: Apache-2.0
// mmuext_op: flushes, clear and copy of pages, LDT, roots, batches and errors.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "mmuext_misc";

void test() {
    for (const unsigned command :
         {MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_LOCAL, MMUEXT_INVLPG_ALL}) {
        mmuext_op_t op{};
        op.cmd = command;
        op.arg1.linear_addr = free_window;
        expect_result(mmuext_op(&op, 1), 0, "flush");
    }
    uint64_t vcpus = 1;
    mmuext_op_t op{};
    op.cmd = MMUEXT_TLB_FLUSH_MULTI;
    set_xen_guest_handle(op.arg2.vcpumask, &vcpus);
    expect_result(mmuext_op(&op, 1), 0, "TLB_FLUSH_MULTI");
    set_xen_guest_handle(op.arg2.vcpumask, reinterpret_cast<void*>(0x1000));
    expect_refused(mmuext_op(&op, 1), "TLB_FLUSH_MULTI, bad bitmap");

    auto* from = static_cast<volatile uint64_t*>(alloc_page());
    auto* to = static_cast<volatile uint64_t*>(alloc_page());
    from[0] = 1;
    from[511] = 2;
    op = {};
    op.cmd = MMUEXT_COPY_PAGE;
    op.arg1.mfn = virt_to_mfn(to);
    op.arg2.src_mfn = virt_to_mfn(from);
    expect_result(mmuext_op(&op, 1), 0, "COPY_PAGE");
    expect(to[0] == 1 && to[511] == 2, "COPY_PAGE copied %lx and %lx", to[0], to[511]);
    expect_result(mmuext_mfn(MMUEXT_CLEAR_PAGE, virt_to_mfn(to)), 0, "CLEAR_PAGE");
    expect(to[0] == 0 && to[511] == 0, "CLEAR_PAGE left something");
    expect_refused(mmuext_mfn(MMUEXT_CLEAR_PAGE, virt_to_mfn(root_table())), "CLEAR_PAGE of a page table");
    op.arg1.mfn = virt_to_mfn(root_table());
    expect_refused(mmuext_op(&op, 1), "COPY_PAGE onto a page table");

    expect_refused(mmuext_mfn(MMUEXT_NEW_BASEPTR, virt_to_mfn(from)), "a writable page as root");
    expect_refused(mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(from)), "a writable page as user root");
    expect_result(mmuext_mfn(MMUEXT_NEW_BASEPTR, virt_to_mfn(root_table())), 0, "the same root again");
    expect_result(mmuext_mfn(MMUEXT_NEW_USER_BASEPTR, 0), 0, "no user root");
    expect_result(mmuext_mfn(999, 0), -XEN_ENOSYS, "unknown command");

    mmuext_op_t ops[3] = {};
    ops[0].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    ops[1].cmd = MMUEXT_PIN_L1_TABLE;
    ops[1].arg1.mfn = virt_to_mfn(root_table());
    ops[2].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    unsigned done = 99;
    expect_result(mmuext_op(ops, 3, &done), -XEN_EINVAL, "batch with an error");
    expect(done == 1, "done is %u, want 1", done);
    expect_result(mmuext_op(reinterpret_cast<mmuext_op_t*>(0x1000), 1), -XEN_EFAULT, "operations at a hole");

    op = {};
    op.cmd = MMUEXT_SET_LDT;
    op.arg1.linear_addr = address_of(from) + 8;
    op.arg2.nr_ents = 1;
    expect_result(mmuext_op(&op, 1), -XEN_EINVAL, "an LDT that is not page-aligned");
    op.arg1.linear_addr = address_of(from);
    op.arg2.nr_ents = 8193;
    expect_result(mmuext_op(&op, 1), -XEN_EINVAL, "an LDT with too many entries");
    op.arg2.nr_ents = 0;
    expect_result(mmuext_op(&op, 1), 0, "no LDT");
}

} // namespace parapet::guest
