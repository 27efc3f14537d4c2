// SPDX-License-Identifier: Apache-2.0
// What the report of a crash says: registers, page walk, code, stack, and the last hypercalls with the latest last.
#include <gtest/gtest.h>

#include <cstring>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/trap.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

class CrashReport : public ::testing::Test {
protected:
    FakeVm vm;
    Regs& regs = guest_at(vm, {0x0f, 0x0b, 0x90});
    const doorbell::CrashReport& report() { return vm.mailbox().request.crash; }
    void crash_at(GuestVa va) {
        crash_guest_at(vm.vcpu(), "for the test", va);
        ASSERT_TRUE(vm.domain().dead);
        ASSERT_EQ(vm.machine.requests.size(), 1u);
        ASSERT_EQ(vm.machine.requests[0].kind, doorbell::Request::crash);
        EXPECT_NE(vm.take_work().flags & ExitWork::STOP, 0u);
    }
};

TEST_F(CrashReport, RegistersAndRoots) {
    regs.r15 = 15;
    regs.rdi = 0xd1;
    vm.vcpu().cr2 = 0xc2;
    crash_at(vm.va(3));
    EXPECT_STREQ(report().reason, "for the test");
    EXPECT_EQ(std::memcmp(&report().regs, &regs, sizeof regs), 0);
    EXPECT_EQ(report().cr2, 0xc2u);
    EXPECT_EQ(report().kernel_root, vm.vcpu().kernel_cr3);
    EXPECT_EQ(report().user_root, 0u) << "there is none";
    EXPECT_EQ(report().guest_kernel_mode, 1u);
    EXPECT_EQ(report().vcpu, 0u);
}

TEST_F(CrashReport, TheWalkEndsWhereNothingIsPresent) {
    crash_at(vm.va(3));
    EXPECT_EQ(report().walk_va, vm.va(3).address);
    ASSERT_EQ(report().walk_levels, 4u);
    EXPECT_EQ(Pte{report().walk[0]}.mfn(), vm.mfn(vm.l3_pfn()));
    EXPECT_EQ(Pte{report().walk[1]}.mfn(), vm.mfn(vm.l2_pfn()));
    EXPECT_EQ(Pte{report().walk[2]}.mfn(), vm.mfn(vm.l1_pfn(3)));
    EXPECT_EQ(Pte{report().walk[3]}.mfn(), vm.mfn(3));

    FakeVm other;
    crash_guest_at(other.vcpu(), "", GuestVa{FakeVm::BASE - PAGE_SIZE}); // the same L4 and L3 entry, no further
    const doorbell::CrashReport& its = other.mailbox().request.crash;
    EXPECT_EQ(its.walk_levels, 2u);
    EXPECT_FALSE(Pte{its.walk[1]}.present());
}

TEST_F(CrashReport, AnAddressOfTheNucleusIsNotWalked) {
    crash_at({HOLE_START + 0x1000});
    EXPECT_EQ(report().walk_levels, 0u);
}

TEST_F(CrashReport, CodeAndStackAsFarAsTheyAreMapped) {
    regs.rsp = vm.va(9, PAGE_SIZE - 16).address;
    vm.at<u64>(9, PAGE_SIZE - 16) = 0x1111;
    vm.at<u64>(9, PAGE_SIZE - 8) = 0x2222;
    vm.set_mapping_flags(10, 0);
    crash_at({regs.rip});
    ASSERT_EQ(report().nr_code, sizeof(report().code));
    EXPECT_EQ(report().code[0], 0x0f);
    EXPECT_EQ(report().code[1], 0x0b);
    ASSERT_EQ(report().nr_stack, 2u);
    EXPECT_EQ(report().stack[0], 0x1111u);
    EXPECT_EQ(report().stack[1], 0x2222u);
}

TEST_F(CrashReport, TheLastSixteenHypercallsLatestLast) {
    for (u64 i = 0; i < 20; i++)
        vm.hypercall(HYPERVISOR_fpu_taskswitch, i % 2, i, i + 1, i + 2);
    const u64 rip = regs.rip;
    vm.hypercall(99, 7);
    crash_at({regs.rip});
    ASSERT_EQ(report().nr_calls, 16u);
    EXPECT_EQ(report().calls[15].number, 99u);
    EXPECT_EQ(report().calls[15].result, -XEN_ENOSYS);
    EXPECT_EQ(report().calls[15].rip, rip + vm.boot.hypercall_instruction_length);
    for (u64 i = 0; i < 15; i++) {
        EXPECT_EQ(report().calls[i].number, HYPERVISOR_fpu_taskswitch);
        EXPECT_EQ(report().calls[i].argument[1], 5 + i);
        EXPECT_EQ(report().calls[i].argument[3], 7 + i);
    }
}

TEST_F(CrashReport, OnlyTheFirstCrashIsReported) {
    crash_at({regs.rip});
    crash_guest(vm.vcpu(), "another");
    EXPECT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_STREQ(report().reason, "for the test");
}

TEST_F(CrashReport, ALongReasonIsCut) {
    const std::string reason(400, 'x');
    crash_guest(vm.vcpu(), reason.c_str());
    EXPECT_EQ(std::strlen(report().reason), sizeof(report().reason) - 1);
}

TEST_F(CrashReport, ADoubleFaultIsABugOfTheNucleus) {
    vm.enter(TRAP_double_fault);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::nucleus_bug);
    EXPECT_STREQ(report().reason, "double fault");
}

} // namespace
} // namespace parapet::nucleus::test
