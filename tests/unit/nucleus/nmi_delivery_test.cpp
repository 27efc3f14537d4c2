// SPDX-License-Identifier: Apache-2.0
// What reaches the guest on its way back from the core: NMIs, the end of an iret, and what the home is asked to do.
#include <gtest/gtest.h>

#include <array>

#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/multicall.hpp"
#include "pv-abi/sched.hpp"
#include "pv-abi/trap.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 STACK_PFN = 20, LIST_PFN = 3;

class NmiDelivery : public ::testing::Test {
protected:
    FakeVm vm;
    const u64 nmi_handler = vm.va(0, 0x100).address, caller = vm.va(0, 0x800).address;
    Regs& regs = *vm.vcpu().regs;

    void SetUp() override {
        regs.rsp = vm.va(STACK_PFN, PAGE_SIZE).address;
        regs.rip = caller;
    }
    void handle_nmis() { vm.vcpu().traps[TRAP_nmi] = {.address = nmi_handler, .cs = 0xe033, .flags = TI_IF}; }
    Status send_nmi() { return vm.hypercall(HYPERVISOR_vcpu_op, VCPUOP_send_nmi, 0, 0); }
    /// An iret frame on the guest's stack that leads to `rip` in kernel mode.
    void push_iret(u64 rip, u64 rax, u64 rflags = 0x202) {
        iret_context frame{};
        frame.rax = rax;
        frame.rip = rip;
        frame.cs = 0xe030;
        frame.rflags = rflags;
        frame.rsp = vm.va(STACK_PFN, 0x800).address;
        frame.ss = 0xe02b;
        regs.rsp = vm.arg(frame, STACK_PFN, 0x200).address;
    }
};

TEST_F(NmiDelivery, AnNmiToOneselfIsTakenOnReturn) {
    handle_nmis();
    EXPECT_FALSE(delivery_due(vm.vcpu()));
    ASSERT_EQ(vm.call(do_vcpu_op, VCPUOP_send_nmi, 0, 0), 0);
    EXPECT_TRUE(delivery_due(vm.vcpu()));
    EXPECT_NE(vm.vcpu().work.flags & ExitWork::LOOK_FOR_NMI, 0u); // so no home takes the quick way back
    deliver_pending_events(vm.vcpu());
    EXPECT_EQ(regs.rip, nmi_handler);
    EXPECT_FALSE(delivery_due(vm.vcpu()));
}

TEST_F(NmiDelivery, AnNmiWaitsForTheEndOfTheOneBefore) {
    handle_nmis();
    EXPECT_EQ(send_nmi(), 0);
    EXPECT_EQ(regs.rip, nmi_handler);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 1);
    const u64 stack = regs.rsp;
    EXPECT_EQ(send_nmi(), 0); // from its own handler
    EXPECT_EQ(regs.rip, nmi_handler + vm.boot.hypercall_instruction_length);
    EXPECT_EQ(regs.rsp, stack);
    EXPECT_TRUE(vm.vcpu().nmi_pending);
    EXPECT_FALSE(delivery_due(vm.vcpu()));
    push_iret(caller, 5);
    (void)vm.hypercall(HYPERVISOR_iret);
    EXPECT_EQ(regs.rip, nmi_handler);
    EXPECT_EQ(regs.rax, 5u);
    EXPECT_FALSE(vm.vcpu().nmi_pending);
}

TEST_F(NmiDelivery, AnNmiWithoutAHandlerIsLost) {
    EXPECT_EQ(send_nmi(), 0);
    EXPECT_FALSE(vm.domain().dead);
    handle_nmis();
    (void)vm.hypercall(HYPERVISOR_xen_version);
    EXPECT_NE(regs.rip, nmi_handler);
    EXPECT_EQ(send_nmi(), 0);
    EXPECT_EQ(regs.rip, nmi_handler);
}

TEST_F(NmiDelivery, IretEndsAMulticall) {
    const u64 target = vm.va(0, 0x300).address;
    push_iret(target, 0x1234);
    multicall_entry64 calls[3] = {{HYPERVISOR_xen_version, 99, {}},
                                  {HYPERVISOR_iret, 99, {}},
                                  {HYPERVISOR_sched_op, 99, {SCHEDOP_yield, 0, 0, 0, 0, 0}}};
    vm.vcpu().info64().evtchn_upcall_mask = 1;
    EXPECT_EQ(vm.hypercall(HYPERVISOR_multicall, vm.arg(calls, LIST_PFN).address, 3), 0x1234);
    EXPECT_EQ(regs.rip, target);
    EXPECT_EQ(regs.rsp, vm.va(STACK_PFN, 0x800).address);
    EXPECT_EQ(regs.vector, vector::RETURNED);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 0);
    EXPECT_FALSE(vm.vcpu().in_multicall);
    const auto after = vm.out<std::array<multicall_entry64, 3>>(LIST_PFN);
    EXPECT_EQ(after[1].result, 0x1234u);
    EXPECT_EQ(after[2].result, 99u) << "nothing runs behind the iret";
    EXPECT_EQ(vm.hypercall(HYPERVISOR_multicall, vm.va(LIST_PFN).address, 1), 0) << "it may begin another";
}

/// Bases are written behind `swapgs`: the one that was set for the user must be the active one by then.
TEST_F(NmiDelivery, BasesThatAMulticallSetsBeforeItsIretAreThoseThatWereMeant) {
    vm.vcpu().user_root = vm.vcpu().kernel_root;
    iret_context frame{};
    frame.rip = vm.va(0, 0x300).address;
    frame.cs = 0xe033;
    frame.rflags = 0x202;
    frame.rsp = vm.va(STACK_PFN, 0x800).address;
    frame.ss = 0xe02b;
    regs.rsp = vm.arg(frame, STACK_PFN, 0x200).address;
    const multicall_entry64 calls[3] = {{HYPERVISOR_set_segment_base, 99, {SEGBASE_GS_USER, 0x1000, 0, 0, 0, 0}},
                                        {HYPERVISOR_set_segment_base, 99, {SEGBASE_GS_KERNEL, 0x2000, 0, 0, 0, 0}},
                                        {HYPERVISOR_iret, 99, {}}};
    regs.rax = HYPERVISOR_multicall;
    regs.rdi = vm.arg(calls, LIST_PFN).address;
    regs.rsi = 3;
    const ExitWork work = vm.enter(vector::SYSCALL);
    EXPECT_EQ(vm.vcpu().kernel_mode, 0);
    EXPECT_NE(work.flags & ExitWork::SWAPGS, 0u);
    EXPECT_EQ(FakeVm::queued_msr(work, msr::GS_BASE), 0x1000u);
    EXPECT_EQ(FakeVm::queued_msr(work, msr::KERNEL_GS_BASE), 0x2000u);
}

TEST_F(NmiDelivery, AMulticallsResultIsAnIntEvenOfAnIret) {
    push_iret(caller, 0x123489abcdef);
    multicall_entry64 calls[1] = {{HYPERVISOR_iret, 99, {}}};
    EXPECT_EQ(static_cast<u64>(vm.hypercall(HYPERVISOR_multicall, vm.arg(calls, LIST_PFN).address, 1)),
              0xffffffff89abcdef);
    EXPECT_EQ(vm.out<multicall_entry64>(LIST_PFN).result, 0x123489abcdefu);
}

TEST_F(NmiDelivery, AnIretThatCannotReturnEndsTheMulticallAndTheGuest) {
    multicall_entry64 calls[2] = {{HYPERVISOR_iret, 99, {}}, {HYPERVISOR_iret, 99, {}}};
    regs.rsp = 0x1000;
    (void)vm.hypercall(HYPERVISOR_multicall, vm.arg(calls, LIST_PFN).address, 2);
    EXPECT_TRUE(vm.domain().dead);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::crash);
}

TEST_F(NmiDelivery, MoreMsrsThanThereIsRoomForAreABugAndNotAnOverflow) {
    ExitWork& work = vm.vcpu().work;
    for (u32 i = 0; i < ExitWork::MAX_MSRS; i++)
        queue_msr(vm.vcpu(), 0x100 + i, i);
    queue_msr(vm.vcpu(), 0x100, 42); // known already
    EXPECT_EQ(work.msrs[0].value, 42u);
    EXPECT_TRUE(vm.machine.requests.empty());
    const u64 behind = work.invlpg_va = 0x1122334455667788;
    queue_msr(vm.vcpu(), 0x200, ~0ULL);
    EXPECT_EQ(work.nr_msrs, ExitWork::MAX_MSRS);
    EXPECT_EQ(work.invlpg_va, behind);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::nucleus_bug);
}

} // namespace
} // namespace parapet::nucleus::test
