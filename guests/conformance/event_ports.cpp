// SPDX-License-Identifier: Apache-2.0
// event_channel_op: allocating, binding, status, closing, and wrong requests.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "event_ports";

namespace {

long status_of(evtchn_port_t port, evtchn_status& status) {
    status = {};
    status.dom = DOMID_SELF;
    status.port = port;
    return event_channel_op(EVTCHNOP_status, &status);
}

void errors() {
    expect_refused(notify_port(4000), "send on a free port");
    expect_refused(notify_port(0), "send on port 0");
    expect_refused(notify_port(0xffffffff), "send on port 2^32-1");
    expect_refused(close_port(0xffffff), "close of a port out of range");
    expect_refused(unmask_port(0xffffff), "unmask of a port out of range");
    expect_refused(bind_virq(NR_VIRQS), "a VIRQ out of range");
    evtchn_bind_ipi ipi{};
    ipi.vcpu = 4095;
    expect_result(event_channel_op(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT, "IPI to a vCPU that is not there");
    evtchn_bind_virq virq{};
    virq.virq = VIRQ_TIMER;
    virq.vcpu = 4095;
    expect_result(event_channel_op(EVTCHNOP_bind_virq, &virq), -XEN_ENOENT, "VIRQ to a vCPU that is not there");
    evtchn_bind_interdomain bind{};
    bind.remote_dom = DOMID_SELF;
    bind.remote_port = 3000;
    expect_refused(event_channel_op(EVTCHNOP_bind_interdomain, &bind), "bind to a free port");
    bind.remote_dom = 0x7000;
    expect_refused(event_channel_op(EVTCHNOP_bind_interdomain, &bind), "bind to no domain");
    expect_result(event_channel_op(999, &bind), -XEN_ENOSYS, "unknown sub-operation");
    expect_result(event_channel_op(EVTCHNOP_send, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
}

} // namespace

void test() {
    evtchn_status status;
    const long timer = bind_virq(VIRQ_TIMER);
    expect(timer > 0, "bind VIRQ_TIMER: %ld", timer);
    expect_result(bind_virq(VIRQ_TIMER), -XEN_EEXIST, "VIRQ_TIMER twice");
    expect_result(status_of(static_cast<evtchn_port_t>(timer), status), 0, "status of a VIRQ");
    expect(status.status == EVTCHNSTAT_virq && status.u.virq == VIRQ_TIMER, "status %u", status.status);
    expect_result(close_port(static_cast<evtchn_port_t>(timer)), 0, "close the VIRQ");
    expect_result(status_of(static_cast<evtchn_port_t>(timer), status), 0, "status of a closed port");
    expect(status.status == EVTCHNSTAT_closed, "status %u after close", status.status);
    expect_refused(close_port(static_cast<evtchn_port_t>(timer)), "close twice");
    const long again = bind_virq(VIRQ_TIMER);
    expect(again > 0, "bind VIRQ_TIMER after close: %ld", again);

    const long ipi = bind_ipi();
    expect_result(status_of(static_cast<evtchn_port_t>(ipi), status), 0, "status of an IPI");
    expect(status.status == EVTCHNSTAT_ipi && status.vcpu == 0, "status %u vcpu %u", status.status, status.vcpu);

    const Loop loop = bind_loop();
    if (expect(loop.receive > 0 && loop.send > 0, "loop: %ld %ld", loop.receive, loop.send)) {
        expect_result(status_of(static_cast<evtchn_port_t>(loop.receive), status), 0, "status of a bound port");
        expect(status.status == EVTCHNSTAT_interdomain, "status %u", status.status);
        expect(status.u.interdomain.port == static_cast<evtchn_port_t>(loop.send), "peer %u",
               status.u.interdomain.port);
        clear_port(static_cast<evtchn_port_t>(loop.receive));
        expect_result(notify_port(static_cast<evtchn_port_t>(loop.send)), 0, "send");
        expect(port_pending(static_cast<evtchn_port_t>(loop.receive)), "the peer is not pending");
        evtchn_bind_vcpu to_vcpu{static_cast<evtchn_port_t>(loop.receive), 0};
        expect_result(event_channel_op(EVTCHNOP_bind_vcpu, &to_vcpu), 0, "bind_vcpu");
        to_vcpu.vcpu = 4095;
        expect_result(event_channel_op(EVTCHNOP_bind_vcpu, &to_vcpu), -XEN_ENOENT, "bind_vcpu to none");
        expect_result(close_port(static_cast<evtchn_port_t>(loop.send)), 0, "close one end");
        expect_result(status_of(static_cast<evtchn_port_t>(loop.receive), status), 0, "status of the other end");
        expect(status.status == EVTCHNSTAT_unbound, "status %u of the other end", status.status);
        expect_result(close_port(static_cast<evtchn_port_t>(loop.receive)), 0, "close the other end");
    }
    errors();
}

} // namespace parapet::guest
