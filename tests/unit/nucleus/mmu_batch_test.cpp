// SPDX-License-Identifier: Apache-2.0
// mmu_update and mmuext_op as calls: whose they are, how far a batch comes, and where the count goes.
#include <gtest/gtest.h>

#include <vector>

#include "pv-abi/mmu.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 LIST_PFN = 10, WORDS_PFN = 12, DONE_PFN = 13, HOLE = 0x1000;
constexpr u32 OWN_DOMID = 7;

class MmuBatch : public ::testing::Test {
protected:
    FakeVm vm;

    /// `count` stores into plain pages, at the end of a page behind which there is none.
    u64 list_before_a_hole(u64 count) {
        vm.set_mapping_flags(LIST_PFN + 1, 0);
        const u64 first = PAGE_SIZE - count * sizeof(mmu_update);
        for (u64 i = 0; i < count; i++)
            vm.at<mmu_update>(LIST_PFN, first + i * sizeof(mmu_update)) = {vm.mfn(WORDS_PFN).address() + i * 8, i + 1};
        return vm.va(LIST_PFN, first).address;
    }
    Status update(u64 list, u64 count, u64 domains = DOMID_SELF) {
        return vm.call(do_mmu_update, list, count, vm.va(DONE_PFN).address, domains);
    }
    Status extended(unsigned command, u64 mfn, u64 domain = DOMID_SELF) {
        mmuext_op64 op{};
        op.cmd = command;
        op.arg1.mfn = mfn;
        return vm.call(do_mmuext_op, vm.arg(op).address, 1, 0, domain);
    }
};

/// Requests are copied by the chunk; those of a chunk that is cut off are done all the same.
TEST_F(MmuBatch, AllBeforeAHoleAreDone) {
    for (const u64 count : {1, 15, 16, 17, 40}) {
        const u64 list = list_before_a_hole(count);
        EXPECT_EQ(update(list, count + 3), -XEN_EFAULT);
        EXPECT_EQ(vm.out<u32>(DONE_PFN), count);
        for (u64 i = 0; i < count; i++)
            EXPECT_EQ(vm.at<u64>(WORDS_PFN, i * 8), i + 1);
    }
}

TEST_F(MmuBatch, ACountThatCannotBeWrittenUndoesNothing) {
    const u64 list = list_before_a_hole(2);
    EXPECT_EQ(vm.call(do_mmu_update, list, 2, HOLE, DOMID_SELF), 0);
    EXPECT_EQ(vm.at<u64>(WORDS_PFN, 8), 2u);
    EXPECT_EQ(vm.call(do_mmu_update, list, 2 | 1u << 31, HOLE, DOMID_SELF), 0);
    mmuext_op64 op{};
    op.cmd = MMUEXT_TLB_FLUSH_LOCAL;
    EXPECT_EQ(vm.call(do_mmuext_op, vm.arg(op).address, 1, HOLE, DOMID_SELF), 0);
}

TEST_F(MmuBatch, WhoseTablesAndFrames) {
    ASSERT_EQ(vm.domain().domid, OWN_DOMID);
    const u64 list = list_before_a_hole(1);
    EXPECT_EQ(update(list, 1, OWN_DOMID), -XEN_ESRCH) << "oneself is DOMID_SELF";
    EXPECT_EQ(update(list, 1, 55), -XEN_ESRCH);
    EXPECT_EQ(update(list, 1, 0), -XEN_EPERM);
    EXPECT_EQ(update(list, 0, 0), 0);
    EXPECT_EQ(update(list, 1, (OWN_DOMID + 1) << 16 | DOMID_SELF), 0);
    EXPECT_EQ(update(list, 1, 1u << 16 | DOMID_SELF), -XEN_EPERM);
    EXPECT_EQ(update(list, 1, 56u << 16 | DOMID_SELF), -XEN_ESRCH);
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_LOCAL, 0, OWN_DOMID), -XEN_ESRCH);
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), -XEN_EPERM);
}

/// ~0 is our "none", but the guest's none is 0.
TEST_F(MmuBatch, TheLastFrameNumberIsNoWayToHaveNoUserRoot) {
    ASSERT_EQ(extended(MMUEXT_NEW_USER_BASEPTR, vm.mfn(vm.l4_pfn()).number), 0);
    EXPECT_EQ(extended(MMUEXT_NEW_USER_BASEPTR, ~0ULL), -XEN_EINVAL);
    EXPECT_EQ(vm.vcpu().user_root, vm.mfn(vm.l4_pfn()));
    EXPECT_EQ(extended(MMUEXT_NEW_USER_BASEPTR, 0), 0);
    EXPECT_EQ(vm.vcpu().user_root, NO_MFN);
}

} // namespace
} // namespace parapet::nucleus::test
