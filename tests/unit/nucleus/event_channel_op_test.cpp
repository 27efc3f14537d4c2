// SPDX-License-Identifier: Apache-2.0
// EVTCHNOP_*, with what Xen answers an unprivileged domain.
#include <gtest/gtest.h>

#include "hypercall-emu/core/services.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 NOWHERE = 0x1000;

class EventChannelOp : public ::testing::Test {
protected:
    template <typename T>
    Status op(unsigned command, const T& argument) {
        return vm.call(do_event_channel_op, command, vm.arg(argument).address);
    }
    u32 open(domid_t remote) {
        EXPECT_EQ(op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{DOMID_SELF, remote, 0}), 0);
        return vm.out<evtchn_alloc_unbound>().port;
    }
    u32 bind_virq(u32 virq, u32 vcpu = 0) {
        EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{virq, vcpu, 0}), 0);
        return vm.out<evtchn_bind_virq>().port;
    }
    u32 bind_ipi(u32 vcpu = 0) {
        EXPECT_EQ(op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{vcpu, 0}), 0);
        return vm.out<evtchn_bind_ipi>().port;
    }
    evtchn_status status(u32 port) {
        EXPECT_EQ(op(EVTCHNOP_status, evtchn_status{DOMID_SELF, port, 99, 99, {}}), 0);
        return vm.out<evtchn_status>();
    }
    bool pending(u32 port) { return port_is_pending(vm.domain(), {port}); }

    FakeVm vm;
};

TEST_F(EventChannelOp, AllocUnboundForDomainZeroIsTheHosts) {
    const u32 port = open(0);
    EXPECT_EQ(port, 3u); // 1 and 2 are the store's and the console's
    EXPECT_EQ(vm.domain().channels[port].state, ChannelState::host);
    EXPECT_EQ(status(port).status, EVTCHNSTAT_interdomain);
    EXPECT_EQ(status(port).u.interdomain.dom, 0);
}

TEST_F(EventChannelOp, AllocUnboundForAnotherDomainStaysUnbound) {
    const u32 port = open(3);
    const evtchn_status now = status(port);
    EXPECT_EQ(now.status, EVTCHNSTAT_unbound);
    EXPECT_EQ(now.u.unbound.dom, 3);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), 0); // nobody hears it
    EXPECT_EQ(vm.take_work().flags & ExitWork::DOORBELL, 0u);
}

TEST_F(EventChannelOp, AllocUnboundChecksItsDomain) {
    EXPECT_EQ(op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{0, 0, 0}), -XEN_EPERM);
    EXPECT_EQ(op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{99, 0, 0}), -XEN_ESRCH);
    EXPECT_EQ(op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{7, 0, 0}), 0); // its own number
    EXPECT_EQ(vm.call(do_event_channel_op, EVTCHNOP_alloc_unbound, NOWHERE), -XEN_EFAULT);
}

TEST_F(EventChannelOp, AResultThatCannotBeWrittenOpensNothing) {
    const GuestVa read_only = vm.va(vm.l4_pfn(), 8); // zeroes: dom 0, remote 0
    vm.at<evtchn_alloc_unbound>(vm.l4_pfn(), 8) = {DOMID_SELF, 0, 0};
    EXPECT_EQ(vm.call(do_event_channel_op, EVTCHNOP_alloc_unbound, read_only.address), -XEN_EFAULT);
    EXPECT_EQ(vm.domain().channels[3].state, ChannelState::closed);
}

TEST_F(EventChannelOp, NoPortLeft) {
    for (u32 port = 3; port < NR_CHANNELS; port++)
        vm.domain().channels[port].state = ChannelState::ipi;
    EXPECT_EQ(op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{DOMID_SELF, 0, 0}), -XEN_ENOSPC);
    EXPECT_EQ(op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{0, 0}), -XEN_ENOSPC);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{VIRQ_TIMER, 0, 0}), -XEN_ENOSPC);
    vm.domain().channels[4095].state = ChannelState::closed;
    EXPECT_EQ(open(0), 4095u);
}

TEST_F(EventChannelOp, LoopbackCarriesEventsBothWays) {
    const u32 near = open(DOMID_SELF);
    EXPECT_EQ(status(near).status, EVTCHNSTAT_unbound);
    EXPECT_EQ(status(near).u.unbound.dom, 7);
    ASSERT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, near, 0}), 0);
    const u32 far = vm.out<evtchn_bind_interdomain>().local_port;
    EXPECT_TRUE(pending(far)); // one may have been lost
    EXPECT_EQ(status(far).u.interdomain.port, near);
    EXPECT_EQ(status(near).u.interdomain.port, far);
    clear_port_pending(vm.domain(), {far});

    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{near}), 0);
    EXPECT_TRUE(pending(far));
    EXPECT_FALSE(pending(near));
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{far}), 0);
    EXPECT_TRUE(pending(near));

    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{far}), 0);
    EXPECT_FALSE(pending(far));
    EXPECT_EQ(status(near).status, EVTCHNSTAT_unbound);
}

TEST_F(EventChannelOp, BindInterdomainRefuses) {
    const u32 other = open(3);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, other, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, 50, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, 0xffffffff, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, 1, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{0, 5, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{44, 5, 0}), -XEN_ESRCH);
}

TEST_F(EventChannelOp, BindVirq) {
    const u32 port = bind_virq(VIRQ_TIMER);
    EXPECT_EQ(status(port).status, EVTCHNSTAT_virq);
    EXPECT_EQ(status(port).u.virq, VIRQ_TIMER);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{VIRQ_TIMER, 0, 0}), -XEN_EEXIST);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{VIRQ_TIMER, 1, 0}), -XEN_ENOENT);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{VIRQ_CONSOLE, 1, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{NR_VIRQS, 0, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_virq, evtchn_bind_virq{0xffffffff, 0, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{port}), 0);
    EXPECT_EQ(bind_virq(VIRQ_TIMER), port); // free again
}

TEST_F(EventChannelOp, BindVirqPerVcpu) {
    vm.add_vcpu();
    const u32 first = bind_virq(VIRQ_TIMER, 0);
    const u32 second = bind_virq(VIRQ_TIMER, 1);
    EXPECT_NE(first, second);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{second, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{second}), 0);
    EXPECT_EQ(vm.domain().virq_port[1][VIRQ_TIMER], 0u);
    EXPECT_EQ(vm.domain().virq_port[0][VIRQ_TIMER], first);
}

TEST_F(EventChannelOp, MovedGlobalVirqIsForgottenAtClose) {
    vm.add_vcpu();
    const u32 port = bind_virq(VIRQ_CONSOLE);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 1}), 0);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{port}), 0);
    EXPECT_EQ(bind_virq(VIRQ_CONSOLE), port);
}

TEST_F(EventChannelOp, BindIpi) {
    const u32 port = bind_ipi();
    EXPECT_EQ(status(port).status, EVTCHNSTAT_ipi);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), 0);
    EXPECT_TRUE(pending(port));
    EXPECT_EQ(op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{1, 0}), -XEN_ENOENT);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 0}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, NoPhysicalInterrupts) {
    EXPECT_EQ(op(EVTCHNOP_bind_pirq, evtchn_bind_pirq{9, 0, 0}), -XEN_EPERM);
    EXPECT_EQ(op(EVTCHNOP_bind_pirq, evtchn_bind_pirq{100000, 0, 0}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, SendToTheHostRingsOnce) {
    const u32 port = open(0);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), 0);
    EXPECT_NE(vm.take_work().flags & ExitWork::DOORBELL, 0u);
    EXPECT_EQ(vm.mailbox().to_vmm.word[0], 1ULL << port);
    EXPECT_EQ(vm.mailbox().to_vmm.selector, 1u);
    EXPECT_FALSE(pending(port));
    // Not taken yet: the vmm is on its way already.
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), 0);
    EXPECT_EQ(vm.take_work().flags & ExitWork::DOORBELL, 0u);
    vm.mailbox().to_vmm.selector = vm.mailbox().to_vmm.word[0] = 0; // it took them
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{port}), 0);
    EXPECT_NE(vm.take_work().flags & ExitWork::DOORBELL, 0u);
}

TEST_F(EventChannelOp, SendRefuses) {
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{50}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{NR_CHANNELS}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_send, evtchn_send{0xffffffff}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, CloseTellsTheHost) {
    const u32 port = open(0);
    set_port_pending(vm.domain(), {port});
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{port}), 0);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::port_closed);
    EXPECT_EQ(vm.machine.requests[0].argument, port);
    EXPECT_FALSE(pending(port));
    EXPECT_EQ(status(port).status, EVTCHNSTAT_closed);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{port}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_close, evtchn_close{NR_CHANNELS}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, StatusRefuses) {
    EXPECT_EQ(op(EVTCHNOP_status, evtchn_status{DOMID_SELF, NR_CHANNELS, 0, 0, {}}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_status, evtchn_status{0, 1, 0, 0, {}}), -XEN_EPERM);
    EXPECT_EQ(op(EVTCHNOP_status, evtchn_status{50, 1, 0, 0, {}}), -XEN_ESRCH);
}

TEST_F(EventChannelOp, BindVcpu) {
    vm.add_vcpu();
    const u32 port = open(0);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 1}), 0);
    EXPECT_EQ(status(port).vcpu, 1u);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 2}), -XEN_ENOENT);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 0xffffffff}), -XEN_ENOENT);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{NR_CHANNELS, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{60, 0}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, Unmask) {
    vm.shared().evtchn_mask[0] = ~0ULL;
    set_port_pending(vm.domain(), {1});
    EXPECT_EQ(op(EVTCHNOP_unmask, evtchn_unmask{1}), 0);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_pending, 1);
    EXPECT_EQ(vm.shared().evtchn_mask[0], ~2ULL);
    EXPECT_EQ(op(EVTCHNOP_unmask, evtchn_unmask{NR_CHANNELS}), -XEN_EINVAL);
}

TEST_F(EventChannelOp, ResetClosesEverything) {
    open(0);
    bind_virq(VIRQ_TIMER);
    const u32 near = open(DOMID_SELF);
    ASSERT_EQ(op(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain{DOMID_SELF, near, 0}), 0);
    EXPECT_EQ(op(EVTCHNOP_reset, evtchn_reset{0}), -XEN_EPERM);
    EXPECT_EQ(op(EVTCHNOP_reset, evtchn_reset{DOMID_SELF}), 0);
    for (u32 port = 0; port < NR_CHANNELS; port++)
        EXPECT_EQ(vm.domain().channels[port].state, ChannelState::closed) << port;
    EXPECT_EQ(vm.domain().virq_port[0][VIRQ_TIMER], 0u);
}

/// As in Xen, ports exist by 64s, and a closed one has no bits to unmask.
TEST_F(EventChannelOp, PortsThatDoNotExistYet) {
    const u32 last = PORTS_GRAIN - 1;
    EXPECT_EQ(status(last).status, EVTCHNSTAT_closed);
    EXPECT_EQ(op(EVTCHNOP_status, evtchn_status{DOMID_SELF, last + 1, 0, 0, {}}), -XEN_EINVAL);
    EXPECT_EQ(op(EVTCHNOP_unmask, evtchn_unmask{last + 1}), -XEN_EINVAL);
    vm.shared().evtchn_mask[0] = ~0ULL;
    EXPECT_EQ(op(EVTCHNOP_unmask, evtchn_unmask{last}), 0);
    EXPECT_EQ(vm.shared().evtchn_mask[0], ~0ULL);
    while (open(0) <= last) {
    }
    EXPECT_EQ(status(last + 2).status, EVTCHNSTAT_closed);
    EXPECT_EQ(vm.mailbox().port_rows, 1u);
}

TEST_F(EventChannelOp, UnknownCommands) {
    for (unsigned command : {15u, 0xffffffffu})
        EXPECT_EQ(vm.call(do_event_channel_op, command, vm.va(1).address), -XEN_ENOSYS);
}

TEST_F(EventChannelOp, Compat) {
    evtchn_op op = {};
    op.cmd = EVTCHNOP_alloc_unbound;
    op.u.alloc_unbound = {DOMID_SELF, 0, 0};
    EXPECT_EQ(vm.call(do_event_channel_op_compat, vm.arg(op).address), 0);
    EXPECT_EQ(vm.out<evtchn_op>().u.alloc_unbound.port, 3u);
    op.cmd = EVTCHNOP_reset; // newer than the old form
    EXPECT_EQ(vm.call(do_event_channel_op_compat, vm.arg(op).address), -XEN_ENOSYS);
    EXPECT_EQ(vm.call(do_event_channel_op_compat, NOWHERE), -XEN_EFAULT);
}

} // namespace
} // namespace parapet::nucleus::test
