// SPDX-License-Identifier: Apache-2.0
// Whose TLB is flushed by what the guest asks for, and of how much.
#include <gtest/gtest.h>

#include "hypercall-emu/core/tlb.hpp"
#include "pv-abi/mmu.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 MASK_PFN = 5;

class Tlb : public ::testing::Test {
protected:
    FakeVm vm;
    Tlb() {
        vm.add_vcpu();
        vm.add_vcpu();
    }
    static constexpr u32 FLUSHES = ExitWork::FLUSH_TLB | ExitWork::INVLPG;
    /// What each vCPU is to flush.
    std::vector<u32> flushes() {
        std::vector<u32> flags;
        for (u32 id = 0; id < 3; id++)
            flags.push_back(vm.take_work(vm.vcpu(id)).flags & FLUSHES);
        return flags;
    }
    Status extended(unsigned command, u64 va = 0, u64 mask_va = 0) {
        mmuext_op64 op{};
        op.cmd = command;
        op.arg1.linear_addr = va;
        op.arg2.vcpumask = mask_va;
        return vm.call(do_mmuext_op, vm.arg(op).address, 1, 0, DOMID_SELF);
    }
    Status update(u64 flags) {
        const u64 entry = vm.at<u64>(vm.l1_pfn(20), 20 * sizeof(Pte));
        return vm.call(do_update_va_mapping, vm.va(20).address, entry, flags);
    }
    u64 mask(u64 bits) {
        vm.at<u64>(MASK_PFN) = bits;
        return vm.va(MASK_PFN).address;
    }
};

constexpr u32 NONE = 0, ALL = ExitWork::FLUSH_TLB, PAGE = ExitWork::INVLPG;
using Flushes = std::vector<u32>;

TEST_F(Tlb, LocalOnes) {
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_LOCAL), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, NONE, NONE}));
    EXPECT_EQ(extended(MMUEXT_INVLPG_LOCAL, vm.va(20).address), 0);
    EXPECT_EQ(vm.vcpu().work.invlpg_va, vm.va(20).address);
    EXPECT_EQ(flushes(), (Flushes{PAGE, NONE, NONE}));
    EXPECT_EQ(extended(MMUEXT_INVLPG_LOCAL, HOLE_START), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, NONE})) << "an address that the guest cannot have";
}

TEST_F(Tlb, TwoPagesAreAll) {
    flush_local_page(vm.vcpu(), vm.va(20));
    flush_local_page(vm.vcpu(), vm.va(20));
    EXPECT_EQ(vm.vcpu().work.flags & FLUSHES, PAGE) << "the same page twice";
    flush_local_page(vm.vcpu(), vm.va(21));
    EXPECT_NE(vm.vcpu().work.flags & ExitWork::FLUSH_TLB, 0u);
}

TEST_F(Tlb, ThoseInAMask) {
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_MULTI, 0, mask(0b110)), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, ALL, ALL}));
    EXPECT_EQ(extended(MMUEXT_INVLPG_MULTI, vm.va(20).address, mask(0b010)), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, ALL, NONE}));
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_MULTI, 0, mask(~0ULL << 3)), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, NONE})) << "vCPUs that are not there";
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_MULTI, 0, 0x1000), -XEN_EINVAL);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, NONE}));
    EXPECT_EQ(extended(MMUEXT_TLB_FLUSH_ALL), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, ALL, ALL}));
    EXPECT_EQ(extended(MMUEXT_INVLPG_ALL, vm.va(20).address), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, ALL, ALL}));
}

TEST_F(Tlb, AfterAnUpdate) {
    EXPECT_EQ(update(UVMF_NONE), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, NONE}));
    EXPECT_EQ(update(UVMF_TLB_FLUSH), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, NONE, NONE}));
    EXPECT_EQ(update(UVMF_INVLPG), 0);
    EXPECT_EQ(flushes(), (Flushes{PAGE, NONE, NONE}));
    EXPECT_EQ(update(UVMF_TLB_FLUSH | UVMF_ALL), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, ALL, ALL}));
    EXPECT_EQ(update(UVMF_INVLPG | UVMF_ALL), 0);
    EXPECT_EQ(flushes(), (Flushes{PAGE, ALL, ALL}));
    EXPECT_EQ(update(UVMF_INVLPG | mask(0b100)), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, ALL}));
    EXPECT_EQ(update(UVMF_TLB_FLUSH | mask(0b011)), 0);
    EXPECT_EQ(flushes(), (Flushes{ALL, ALL, NONE}));
    EXPECT_EQ(update(UVMF_TLB_FLUSH | 0x1000), -XEN_EFAULT);
    EXPECT_EQ(update(UVMF_NONE | 0x1000), 0);
    EXPECT_EQ(update(3), 0);
    EXPECT_EQ(update(3 | UVMF_ALL), 0);
    EXPECT_EQ(flushes(), (Flushes{NONE, NONE, NONE}));
}

} // namespace
} // namespace parapet::nucleus::test
