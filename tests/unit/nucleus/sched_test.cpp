// SPDX-License-Identifier: Apache-2.0
// sched_op: who sleeps, and what wakes it.
#include <gtest/gtest.h>

#include <array>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/multicall.hpp"
#include "pv-abi/sched.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 MS = 1'000'000, SECOND = 1000 * MS;
constexpr u32 IPI_PORT = 9, OTHER_PORT = 10, TIMER_PORT = 11;

class Sched : public ::testing::Test {
protected:
    FakeVm vm;

    void SetUp() override {
        vm.domain().channels[IPI_PORT].state = ChannelState::ipi;
        vm.domain().channels[OTHER_PORT].state = ChannelState::ipi;
        open_channel(vm.domain(), {TIMER_PORT}, ChannelState::virq, 0, VIRQ_TIMER);
        vm.domain().virq_port[0][VIRQ_TIMER] = TIMER_PORT;
        vm.vcpu().event_callback = {vm.va(0).address, true};
        (void)vm.call(do_vcpu_op, VCPUOP_stop_periodic_timer, 0);
        (void)vm.take_work();
    }
    bool blocks() {
        const bool flag = (vm.take_work().flags & ExitWork::BLOCK) != 0;
        EXPECT_EQ(flag, vm.vcpu().blocked);
        return flag;
    }
    Status block() { return vm.call(do_sched_op, SCHEDOP_block); }
    Status poll(std::vector<u32> ports, u64 timeout = 0) {
        for (size_t i = 0; i < ports.size(); i++)
            vm.arg(ports[i], 2, i * sizeof(u32));
        sched_poll64 op{vm.va(2).address, static_cast<u32>(ports.size()), timeout};
        return vm.call(do_sched_op, SCHEDOP_poll, vm.arg(op).address);
    }
    void post(u32 port) { // the vmm's event, by mailbox and interrupt
        vm.mailbox().to_nucleus.word[port / 64] |= 1ULL << port % 64;
        vm.mailbox().to_nucleus.selector |= 1ULL << port / 64;
    }
    bool woken_by(u32 irq_bits) { return (vm.enter(vector::WAKE, irq_bits).flags & ExitWork::BLOCK) == 0; }
    void mask(u32 port) { vm.shared().evtchn_mask[port / 64] |= 1ULL << port % 64; }
};

TEST_F(Sched, YieldGoesOnWithoutAnExit) {
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_yield), 0);
    EXPECT_EQ(vm.call(do_sched_op_compat, SCHEDOP_yield), 0);
    EXPECT_EQ(vm.take_work().flags, 0u);
    EXPECT_FALSE(vm.vcpu().blocked);
    EXPECT_EQ(vm.vcpu().runstate.state, RUNSTATE_running);
}

TEST_F(Sched, AnNmiEndsABlockAndAPoll) {
    const u64 handler = vm.va(0, 0x100).address;
    vm.vcpu().traps[2] = {.address = handler, .cs = 0xe033, .flags = 4};
    for (const bool polls : {false, true}) {
        ASSERT_EQ(polls ? poll({IPI_PORT}) : block(), 0);
        ASSERT_TRUE(blocks());
        vm.vcpu().nmi_pending = true; // by another vCPU, which then interrupts this one
        EXPECT_TRUE(woken_by(Vcpu::IRQ_WAKE));
        EXPECT_FALSE(vm.vcpu().nmi_pending);
        EXPECT_EQ(vm.vcpu().regs->rip, handler);
        vm.vcpu().nmi_masked = 0; // its handler returns
        vm.vcpu().regs->rip = 0;
    }
}

TEST_F(Sched, BlockUnmasksAndSleeps) {
    EXPECT_EQ(block(), 0);
    EXPECT_TRUE(blocks());
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 0);
    EXPECT_EQ(vm.vcpu().runstate.state, RUNSTATE_blocked);
}

TEST_F(Sched, BlockWithAnEventWaitingGoesOn) {
    set_port_pending(vm.domain(), {IPI_PORT});
    EXPECT_EQ(block(), 0);
    EXPECT_FALSE(blocks());
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 0);
}

TEST_F(Sched, BlockWakesByMailbox) {
    block();
    ASSERT_TRUE(blocks());
    vm.set_time_ns(7 * MS);
    EXPECT_FALSE(woken_by(0)); // spurious: sleeps on
    EXPECT_FALSE(woken_by(Vcpu::IRQ_MAILBOX));
    post(1);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_MAILBOX));
    EXPECT_FALSE(vm.vcpu().blocked);
    EXPECT_EQ(vm.vcpu().runstate.state, RUNSTATE_running);
    EXPECT_NEAR(static_cast<double>(vm.vcpu().runstate.time[RUNSTATE_blocked]), 7e6, 1100);
    EXPECT_EQ(vm.vcpu().regs->rip, vm.va(0).address); // and the event is delivered
}

TEST_F(Sched, BlockWakesByTimer) {
    vm.call(do_set_timer_op, 5 * MS);
    block();
    ASSERT_TRUE(blocks());
    vm.set_time_ns(5 * MS + 10);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_TIMER));
    EXPECT_TRUE(port_is_pending(vm.domain(), {TIMER_PORT}));
}

TEST_F(Sched, BlockAfterADeadlineThatPassedUnnoticed) {
    vm.call(do_set_timer_op, 5 * MS);
    vm.set_time_ns(6 * MS); // the interrupt is on its way
    block();
    EXPECT_FALSE(blocks());
}

TEST_F(Sched, MaskedEventDoesNotWakeABlocker) {
    mask(IPI_PORT);
    block();
    ASSERT_TRUE(blocks());
    set_port_pending(vm.domain(), {IPI_PORT});
    EXPECT_FALSE(woken_by(Vcpu::IRQ_WAKE));
}

TEST_F(Sched, PeriodicTickRestsWhileBlocked) {
    vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, vm.arg(10 * MS).address);
    block();
    ASSERT_TRUE(blocks());
    vm.set_time_ns(50 * MS);
    EXPECT_FALSE(woken_by(Vcpu::IRQ_TIMER));
    EXPECT_EQ(vm.vcpu().armed_tsc, 0u);
    EXPECT_FALSE(port_is_pending(vm.domain(), {TIMER_PORT}));
    post(1);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_MAILBOX));
    EXPECT_TRUE(port_is_pending(vm.domain(), {TIMER_PORT})); // late, but there
    EXPECT_NE(vm.vcpu().armed_tsc, 0u);
}

TEST_F(Sched, ABlockInAMulticallWaitsBeforeTheNextCall) {
    const evtchn_send send{IPI_PORT};
    multicall_entry64 calls[2] = {
        {HYPERVISOR_sched_op, 99, {SCHEDOP_block, 0, 0, 0, 0, 0}},
        {HYPERVISOR_event_channel_op, 99, {EVTCHNOP_send, vm.arg(send, 3).address, 0, 0, 0, 0}}};
    const u64 first = vm.arg(calls).address;
    (void)vm.hypercall(HYPERVISOR_multicall, first, 2);
    EXPECT_TRUE(blocks());
    EXPECT_EQ(vm.vcpu().runstate.state, RUNSTATE_blocked);
    const auto now = vm.out<std::array<multicall_entry64, 2>>();
    EXPECT_EQ(now[0].result, 0u);
    EXPECT_EQ(now[1].result, 99u) << "not yet";
    Regs& regs = *vm.vcpu().regs;
    EXPECT_EQ(regs.rax, HYPERVISOR_multicall);
    EXPECT_EQ(regs.rdi, first + sizeof(multicall_entry64));
    EXPECT_EQ(regs.rsi, 1u);
}

/// A selector is loaded behind the MSRs: a base that the next call sets must not be among them.
TEST_F(Sched, ASelectorIsLoadedBeforeTheNextCall) {
    multicall_entry64 calls[2] = {{HYPERVISOR_set_segment_base, 99, {SEGBASE_GS_USER_SEL, 0x7b, 0, 0, 0, 0}},
                                  {HYPERVISOR_set_segment_base, 99, {SEGBASE_GS_USER, 0x1000, 0, 0, 0, 0}}};
    Regs& regs = *vm.vcpu().regs;
    regs.rax = HYPERVISOR_multicall;
    regs.rdi = vm.arg(calls).address;
    regs.rsi = 2;
    const ExitWork work = vm.enter(vector::SYSCALL);
    EXPECT_NE(work.flags & ExitWork::LOAD_GS_SELECTOR, 0u);
    EXPECT_FALSE(FakeVm::queued_msr(work, 0xc0000102).has_value());
    EXPECT_EQ(regs.rsi, 1u);
    const ExitWork next = vm.enter(vector::SYSCALL);
    EXPECT_EQ(next.flags & ExitWork::LOAD_GS_SELECTOR, 0u);
    EXPECT_EQ(FakeVm::queued_msr(next, 0xc0000102), 0x1000u);
    EXPECT_EQ(regs.rax, 0u);
}

/// What is no argument of a hypercall is the guest's: Linux keeps values in r9, Mini-OS in rdx, r10 and r8 as well.
TEST_F(Sched, AContinuedHypercallLeavesOtherRegistersAlone) {
    vm.vcpu().info64().evtchn_upcall_mask = 0;
    const evtchn_send send{IPI_PORT};
    multicall_entry64 calls[2] = {
        {HYPERVISOR_event_channel_op, 0, {EVTCHNOP_send, vm.arg(send, 3).address, 0x13, 0x14, 0x15, 0x16}},
        {HYPERVISOR_sched_op, 0, {SCHEDOP_yield, 0, 0, 0, 0, 0}}};
    const u64 first = vm.arg(calls).address;
    Regs& regs = *vm.vcpu().regs;
    regs.r9 = 0x99;
    EXPECT_EQ(vm.hypercall(HYPERVISOR_multicall, first, 2, 0x22, 0x33, 0x44), 0);
    EXPECT_EQ(regs.rdi, first + sizeof(multicall_entry64)) << "it was continued";
    EXPECT_EQ(regs.rsi, 1u);
    EXPECT_EQ(regs.rdx, 0x22u);
    EXPECT_EQ(regs.r10, 0x33u);
    EXPECT_EQ(regs.r8, 0x44u);
    EXPECT_EQ(regs.r9, 0x99u);
}

TEST_F(Sched, PollOfAPendingPortGoesOn) {
    mask(IPI_PORT);
    set_port_pending(vm.domain(), {IPI_PORT});
    EXPECT_EQ(poll({OTHER_PORT, IPI_PORT}), 0);
    EXPECT_FALSE(blocks());
    EXPECT_FALSE(vm.vcpu().poll_wait);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 1); // poll leaves it
}

TEST_F(Sched, PollWakesByItsMaskedPort) {
    mask(IPI_PORT);
    mask(OTHER_PORT);
    EXPECT_EQ(poll({IPI_PORT}), 0);
    ASSERT_TRUE(blocks());
    set_port_pending(vm.domain(), {OTHER_PORT});
    EXPECT_FALSE(woken_by(Vcpu::IRQ_WAKE));
    set_port_pending(vm.domain(), {IPI_PORT});
    EXPECT_FALSE(vm.vcpu().blocked);
    EXPECT_FALSE(vm.vcpu().poll_wait);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_WAKE));
}

TEST_F(Sched, PollWithUpcallMaskedWakesByMailbox) {
    mask(1);
    EXPECT_EQ(poll({1}), 0);
    ASSERT_TRUE(blocks());
    post(1);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_MAILBOX));
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 1);
}

TEST_F(Sched, PollOfSeveralWakesByAny) {
    mask(IPI_PORT);
    mask(OTHER_PORT);
    EXPECT_EQ(poll({IPI_PORT, TIMER_PORT}), 0);
    ASSERT_TRUE(blocks());
    set_port_pending(vm.domain(), {OTHER_PORT}); // as in Xen: only a single port is told apart
    EXPECT_TRUE(woken_by(Vcpu::IRQ_WAKE));
}

TEST_F(Sched, PollWakesByAnUnmaskedEvent) {
    mask(IPI_PORT);
    EXPECT_EQ(poll({IPI_PORT}), 0);
    ASSERT_TRUE(blocks());
    set_port_pending(vm.domain(), {OTHER_PORT});
    EXPECT_TRUE(woken_by(Vcpu::IRQ_WAKE));
}

TEST_F(Sched, PollTimesOut) {
    mask(IPI_PORT);
    EXPECT_EQ(poll({IPI_PORT}, 5 * MS), 0);
    ASSERT_TRUE(blocks());
    EXPECT_NE(vm.vcpu().armed_tsc, 0u);
    vm.set_time_ns(4 * MS);
    EXPECT_FALSE(woken_by(Vcpu::IRQ_TIMER));
    vm.set_time_ns(5 * MS + 10);
    EXPECT_TRUE(woken_by(Vcpu::IRQ_TIMER));
    EXPECT_FALSE(port_is_pending(vm.domain(), {IPI_PORT}));
    EXPECT_FALSE(port_is_pending(vm.domain(), {TIMER_PORT}));
    EXPECT_EQ(vm.vcpu().poll_deadline_ns, 0u);
}

TEST_F(Sched, PollWithATimeoutInThePastReturns) {
    vm.set_time_ns(10 * MS);
    EXPECT_EQ(poll({IPI_PORT}, 5 * MS), 0);
    EXPECT_FALSE(blocks());
    EXPECT_EQ(poll({IPI_PORT}, static_cast<u64>(-1)), 0);
    EXPECT_FALSE(blocks());
}

TEST_F(Sched, PollOfNothingWaitsForTheTimeout) {
    EXPECT_EQ(poll({}, 5 * MS), 0);
    EXPECT_TRUE(blocks());
}

TEST_F(Sched, PollEndedEarlyLeavesNoTimeout) {
    mask(IPI_PORT);
    EXPECT_EQ(poll({IPI_PORT}, 5 * MS), 0);
    ASSERT_TRUE(blocks());
    set_port_pending(vm.domain(), {IPI_PORT});
    EXPECT_TRUE(woken_by(Vcpu::IRQ_WAKE));
    EXPECT_EQ(vm.vcpu().poll_deadline_ns, 0u);
    vm.set_time_ns(6 * MS); // the hardware timer was left as it was, and does no harm
    (void)vm.enter(vector::RETURNED, Vcpu::IRQ_TIMER);
    EXPECT_EQ(vm.vcpu().armed_tsc, 0u);
    EXPECT_FALSE(port_is_pending(vm.domain(), {TIMER_PORT}));
}

TEST_F(Sched, PollRefuses) {
    EXPECT_EQ(poll(std::vector<u32>(129, IPI_PORT)), -XEN_EINVAL);
    EXPECT_EQ(poll({NR_CHANNELS}), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_poll, 0x1000), -XEN_EFAULT);
    sched_poll64 op{0x1000, 1, 0};
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_poll, vm.arg(op).address), -XEN_EFAULT);
    EXPECT_FALSE(vm.vcpu().poll_wait);
    EXPECT_FALSE(blocks());
}

TEST_F(Sched, ShutdownTellsTheVmm) {
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_shutdown, vm.arg(sched_shutdown{SHUTDOWN_reboot}).address), 0);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::shutdown);
    EXPECT_EQ(vm.machine.requests[0].argument, SHUTDOWN_reboot);
    EXPECT_TRUE(vm.domain().dead);
    EXPECT_NE(vm.take_work().flags & ExitWork::STOP, 0u);
    shut_down(vm.vcpu(), SHUTDOWN_poweroff); // once only
    EXPECT_EQ(vm.machine.requests.size(), 1u);
}

TEST_F(Sched, ShutdownNeedsAReadableReason) {
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_shutdown, 0x1000), -XEN_EFAULT);
    EXPECT_FALSE(vm.domain().dead);
}

TEST_F(Sched, ShutdownCodeSetBefore) {
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_shutdown_code, vm.arg(sched_shutdown{SHUTDOWN_crash}).address), 0);
    EXPECT_FALSE(vm.domain().dead);
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_shutdown, vm.arg(sched_shutdown{SHUTDOWN_poweroff}).address), 0);
    EXPECT_EQ(vm.machine.requests[0].argument, SHUTDOWN_crash);
}

TEST_F(Sched, OthersAreOutOfReach) {
    const auto remote = [&](domid_t id) {
        return vm.call(do_sched_op, SCHEDOP_remote_shutdown, vm.arg(sched_remote_shutdown{id, 0}).address);
    };
    EXPECT_EQ(remote(0), -XEN_EPERM);
    EXPECT_EQ(remote(7), -XEN_EPERM);
    EXPECT_EQ(remote(8), -XEN_ESRCH);
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_pin_override, vm.va(1).address), -XEN_EPERM);
    EXPECT_EQ(vm.call(do_sched_op, 8, 0), -XEN_ENOSYS);
    EXPECT_FALSE(vm.domain().dead);
}

TEST_F(Sched, Watchdogs) {
    const auto watchdog = [&](u32 id, u32 seconds) {
        return vm.call(do_sched_op, SCHEDOP_watchdog, vm.arg(sched_watchdog{id, seconds}).address);
    };
    EXPECT_EQ(watchdog(1, 5), -XEN_EINVAL); // not made yet
    EXPECT_EQ(watchdog(0, 10), 1);
    EXPECT_EQ(watchdog(0, 20), 2);
    EXPECT_EQ(watchdog(0, 30), -XEN_ENOSPC);
    EXPECT_EQ(watchdog(3, 30), -XEN_EINVAL);
    vm.set_time_ns(9 * SECOND);
    EXPECT_EQ(watchdog(1, 10), 0); // fed
    vm.set_time_ns(11 * SECOND);
    (void)vm.enter(vector::WAKE, Vcpu::IRQ_TIMER);
    EXPECT_FALSE(vm.domain().dead);
    EXPECT_EQ(watchdog(2, 0), 0); // put down
    vm.set_time_ns(19 * SECOND + 1000);
    EXPECT_NE(vm.enter(vector::WAKE, Vcpu::IRQ_TIMER).flags & ExitWork::STOP, 0u);
    EXPECT_TRUE(vm.domain().dead);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].argument, SHUTDOWN_watchdog);
}

TEST_F(Sched, WatchdogBitesASleeper) {
    EXPECT_EQ(vm.call(do_sched_op, SCHEDOP_watchdog, vm.arg(sched_watchdog{0, 1}).address), 1);
    block();
    ASSERT_TRUE(blocks());
    EXPECT_NE(vm.vcpu().armed_tsc, 0u);
    vm.set_time_ns(2 * SECOND);
    (void)vm.enter(vector::WAKE, Vcpu::IRQ_TIMER);
    EXPECT_TRUE(vm.domain().dead);
}

TEST_F(Sched, Compat) {
    EXPECT_EQ(vm.call(do_sched_op_compat, SCHEDOP_block), 0);
    EXPECT_TRUE(blocks());
    EXPECT_EQ(vm.call(do_sched_op_compat, SCHEDOP_poll), -XEN_ENOSYS);
    EXPECT_EQ(vm.call(do_sched_op_compat, SCHEDOP_shutdown, SHUTDOWN_crash), 0);
    EXPECT_EQ(vm.machine.requests[0].argument, SHUTDOWN_crash);
}

} // namespace
} // namespace parapet::nucleus::test
