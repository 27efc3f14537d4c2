// SPDX-License-Identifier: Apache-2.0
// Event delivery and the mailbox.
#include <gtest/gtest.h>

#include "hypercall-emu/core/services.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr Port STORE{1}, CONSOLE{2};

bool pending(FakeVm& vm, u32 port) {
    return (vm.shared().evtchn_pending[port / 64] >> port % 64 & 1) != 0;
}

void mask(FakeVm& vm, u32 port) {
    vm.shared().evtchn_mask[port / 64] |= 1ULL << port % 64;
}

void post(FakeVm& vm, u32 port) {
    vm.mailbox().to_nucleus.word[port / 64] |= 1ULL << port % 64;
    vm.mailbox().to_nucleus.selector |= 1ULL << port / 64;
}

TEST(Events, PendingMarksEveryLevel) {
    FakeVm vm;
    abi::vcpu_info64& info = vm.vcpu().info64();
    ASSERT_EQ(info.evtchn_upcall_mask, 1); // as a vCPU starts
    set_port_pending(vm.domain(), STORE);
    EXPECT_TRUE(pending(vm, STORE.number));
    EXPECT_EQ(info.evtchn_pending_sel, 1u);
    EXPECT_EQ(info.evtchn_upcall_pending, 1);
    EXPECT_FALSE(event_deliverable(vm.vcpu()));
    info.evtchn_upcall_mask = 0;
    EXPECT_TRUE(event_deliverable(vm.vcpu()));
}

TEST(Events, HighPortUsesItsOwnWord) {
    FakeVm vm;
    set_port_pending(vm.domain(), {4095});
    EXPECT_TRUE(pending(vm, 4095));
    EXPECT_EQ(vm.vcpu().info64().evtchn_pending_sel, 1ULL << 63);
}

TEST(Events, MaskedPortIsPendingButNotNoticed) {
    FakeVm vm;
    mask(vm, STORE.number);
    set_port_pending(vm.domain(), STORE);
    EXPECT_TRUE(pending(vm, STORE.number));
    EXPECT_EQ(vm.vcpu().info64().evtchn_pending_sel, 0u);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
    unmask_port(vm.domain(), STORE);
    EXPECT_EQ(vm.vcpu().info64().evtchn_pending_sel, 1u);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 1);
}

TEST(Events, UnmaskOfAnIdlePortDoesNothing) {
    FakeVm vm;
    mask(vm, STORE.number);
    unmask_port(vm.domain(), STORE);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
    // And of a port that was not masked: its event was noticed before.
    vm.shared().evtchn_pending[0] = 1 << STORE.number;
    unmask_port(vm.domain(), STORE);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
}

TEST(Events, AlreadyPendingIsNotNoticedAgain) {
    FakeVm vm;
    set_port_pending(vm.domain(), STORE);
    vm.vcpu().info64().evtchn_pending_sel = 0;
    vm.vcpu().info64().evtchn_upcall_pending = 0;
    set_port_pending(vm.domain(), STORE);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
}

TEST(Events, EventGoesToTheBoundVcpu) {
    FakeVm vm;
    Vcpu& other = vm.add_vcpu();
    vm.domain().channels[STORE.number].vcpu = 1;
    set_port_pending(vm.domain(), STORE);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
    EXPECT_EQ(other.info64().evtchn_upcall_pending, 1);
    EXPECT_EQ(vm.machine.wakes, std::vector<u32>{1});
}

TEST(Events, VirqReachesItsPort) {
    FakeVm vm;
    raise_virq(vm.vcpu(), abi::VIRQ_TIMER); // not bound: nothing
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 0);
    vm.domain().virq_port[0][abi::VIRQ_TIMER] = 9;
    raise_virq(vm.vcpu(), abi::VIRQ_TIMER);
    EXPECT_TRUE(pending(vm, 9));
    raise_virq(vm.vcpu(), abi::NR_VIRQS); // no such VIRQ: nothing
}

TEST(Events, GlobalVirqIsVcpuZeros) {
    FakeVm vm;
    Vcpu& other = vm.add_vcpu();
    vm.domain().virq_port[0][abi::VIRQ_CONSOLE] = 9;
    raise_virq(other, abi::VIRQ_CONSOLE);
    EXPECT_TRUE(pending(vm, 9));
    vm.domain().virq_port[0][abi::VIRQ_DEBUG] = 10;
    raise_virq(other, abi::VIRQ_DEBUG);
    EXPECT_FALSE(pending(vm, 10));
}

TEST(Mailbox, BitsBecomePendingPorts) {
    FakeVm vm;
    post(vm, STORE.number);
    post(vm, CONSOLE.number);
    take_mailbox(vm.domain());
    EXPECT_TRUE(pending(vm, STORE.number));
    EXPECT_TRUE(pending(vm, CONSOLE.number));
    EXPECT_EQ(vm.mailbox().to_nucleus.selector, 0u);
    EXPECT_EQ(vm.mailbox().to_nucleus.word[0], 0u);
}

TEST(Mailbox, OnlyPortsOfTheHost) {
    FakeVm vm;
    vm.domain().channels[70].state = ChannelState::ipi;
    post(vm, 0);
    post(vm, 70);
    post(vm, 4095);
    take_mailbox(vm.domain());
    EXPECT_FALSE(pending(vm, 0));
    EXPECT_FALSE(pending(vm, 70));
    EXPECT_FALSE(pending(vm, 4095));
}

TEST(Mailbox, WordWithoutSelectorWaits) {
    FakeVm vm;
    vm.mailbox().to_nucleus.word[0] = 1 << STORE.number; // the producer is between its two steps
    take_mailbox(vm.domain());
    EXPECT_FALSE(pending(vm, STORE.number));
    vm.mailbox().to_nucleus.selector = 1;
    take_mailbox(vm.domain());
    EXPECT_TRUE(pending(vm, STORE.number));
}

} // namespace
} // namespace parapet::nucleus::test
