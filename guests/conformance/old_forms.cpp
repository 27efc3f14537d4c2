// SPDX-License-Identifier: Apache-2.0
// Hypercalls of old that today's have taken the place of: event_channel_op_compat, sched_op_compat. Same answers, for
// the commands that there were.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "old_forms";

namespace {

auto* const nowhere = reinterpret_cast<void*>(0x1000);

struct EventOp {
    uint32_t command;
    union {
        evtchn_bind_ipi_t bind_ipi;
        evtchn_send_t send;
        evtchn_close_t close;
        evtchn_status_t status;
        evtchn_unmask_t unmask;
        uint32_t words[8];
    } u;
};

long event_op(EventOp& op) {
    return hypercall(__HYPERVISOR_event_channel_op_compat, &op);
}

void event_channels() {
    EventOp op{EVTCHNOP_bind_ipi, {}};
    if (!expect_result(event_op(op), 0, "bind_ipi") || !expect(op.u.bind_ipi.port != 0, "no port")) {
        return;
    }
    const evtchn_port_t port = op.u.bind_ipi.port;
    mask_port(port);
    op = {EVTCHNOP_send, {}};
    op.u.send.port = port;
    expect_result(event_op(op), 0, "send");
    expect(port_pending(port), "it did not come");
    op = {EVTCHNOP_status, {}};
    op.u.status.dom = DOMID_SELF;
    op.u.status.port = port;
    expect_result(event_op(op), 0, "status");
    expect(op.u.status.status == EVTCHNSTAT_ipi, "status %u", op.u.status.status);
    op = {EVTCHNOP_close, {}};
    op.u.close.port = port;
    expect_result(event_op(op), 0, "close");
    expect_result(event_op(op), -XEN_EINVAL, "close twice");
    op = {EVTCHNOP_bind_ipi, {}};
    op.u.bind_ipi.vcpu = 4095;
    expect_result(event_op(op), -XEN_ENOENT, "bind_ipi of no vCPU");
    for (const uint32_t command : {EVTCHNOP_reset + 0u, EVTCHNOP_init_control + 0u, 999u, ~0u}) {
        op = {command, {}};
        expect_result(event_op(op), -XEN_ENOSYS, "a command that it had not");
    }
    expect_result(hypercall(__HYPERVISOR_event_channel_op_compat, nowhere), -XEN_EFAULT, "bad pointer");
    expect_result(hypercall(__HYPERVISOR_event_channel_op_compat, HYPERVISOR_VIRT_START), -XEN_EFAULT,
                  "a pointer into the hypervisor");
}

void scheduling() {
    const auto sched = [](unsigned command) { return hypercall(__HYPERVISOR_sched_op_compat, command, 0); };
    expect_result(sched(SCHEDOP_yield), 0, "yield");
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(port);
    mask_events();
    notify_port(port);
    expect_result(sched(SCHEDOP_block), 0, "block with an event pending");
    expect(event_count(port) == 1 && !events_masked(), "%lu events, masked %d", event_count(port), events_masked());
    for (const unsigned command : {SCHEDOP_poll, SCHEDOP_watchdog, 999, ~0}) {
        expect_result(sched(command), -XEN_ENOSYS, "a command that it had not");
    }
}

} // namespace

void test() {
    event_channels();
    scheduling();
}

} // namespace parapet::guest
