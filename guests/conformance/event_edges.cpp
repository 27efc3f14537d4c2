// SPDX-License-Identifier: Apache-2.0
// event_channel_op: each operation's error numbers, which ports exist, results that cannot be written, and sends that
// nobody hears.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "event_edges";

namespace {

constexpr domid_t no_domain = 0x7000;

template <typename Op>
long op(unsigned command, Op request) {
    return event_channel_op(command, &request);
}

long status_of(evtchn_port_t port, evtchn_status& status) {
    status = {};
    status.dom = DOMID_SELF;
    status.port = port;
    return event_channel_op(EVTCHNOP_status, &status);
}

/// The first port that does not exist yet: ports come by 64s.
evtchn_port_t end_of_ports() {
    evtchn_status status;
    evtchn_port_t port = 1;
    while (port < 4096 && status_of(port, status) == 0) {
        ++port;
    }
    return port;
}

void what_exists() {
    const evtchn_port_t end = end_of_ports();
    expect(end % 64 == 0 && end < 4096, "ports exist up to %u", end);
    evtchn_status status;
    expect_result(status_of(0, status), 0, "status of port 0");
    expect(status.status == EVTCHNSTAT_closed, "port 0 is %u", status.status);
    expect_result(status_of(end - 1, status), 0, "status of the last port");
    expect_result(status_of(end, status), -XEN_EINVAL, "status of the port behind it");
    for (const evtchn_port_t port : {end - 1, end, 0xffffffffu}) {
        expect_result(notify_port(port), -XEN_EINVAL, "send on a port that is not open");
        expect_result(close_port(port), -XEN_EINVAL, "close of a port that is not open");
        expect_result(unmask_port(port), port < end ? 0 : -XEN_EINVAL, "unmask of a port that is not open");
        expect_result(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 0}), -XEN_EINVAL, "bind_vcpu of it");
    }
    // To unmask a closed port changes nothing.
    mask_port(end - 1);
    expect_result(unmask_port(end - 1), 0, "unmask of a closed port");
    expect((shared_info().evtchn_mask[(end - 1) / 64] >> (end - 1) % 64 & 1) != 0, "it was unmasked");
    // As they are opened there are more.
    evtchn_port_t last = 0;
    while (last < end) {
        last = static_cast<evtchn_port_t>(bind_ipi());
    }
    expect(last == end && end_of_ports() == end + 64, "port %u was opened, and ports exist up to %u", last,
           end_of_ports());
}

void interdomain() {
    evtchn_bind_interdomain bind{};
    bind.remote_dom = no_domain;
    expect_result(op(EVTCHNOP_bind_interdomain, bind), -XEN_ESRCH, "bind to no domain");
    bind.remote_dom = DOMID_SELF;
    for (const evtchn_port_t port : {0u, 4000u, 0xffffffffu}) {
        bind.remote_port = port;
        expect_result(op(EVTCHNOP_bind_interdomain, bind), -XEN_EINVAL, "bind to a port that is not there");
    }
    const auto ipi = static_cast<evtchn_port_t>(bind_ipi());
    bind.remote_port = ipi;
    expect_result(op(EVTCHNOP_bind_interdomain, bind), -XEN_EINVAL, "bind to an IPI");
    const Loop loop = bind_loop();
    bind.remote_port = static_cast<evtchn_port_t>(loop.receive);
    expect_result(op(EVTCHNOP_bind_interdomain, bind), -XEN_EINVAL, "bind to a port that is bound");
    expect(port_pending(static_cast<evtchn_port_t>(loop.send)), "the new end is not pending");
    expect(!port_pending(static_cast<evtchn_port_t>(loop.receive)), "the old end is pending");
    clear_port(static_cast<evtchn_port_t>(loop.send));
    expect_result(notify_port(static_cast<evtchn_port_t>(loop.receive)), 0, "send to the new end");
    expect(port_pending(static_cast<evtchn_port_t>(loop.send)), "it did not come");
    expect_result(close_port(static_cast<evtchn_port_t>(loop.send)), 0, "close an end that is pending");
    expect(!port_pending(static_cast<evtchn_port_t>(loop.send)), "a closed port is pending");
    expect_result(notify_port(static_cast<evtchn_port_t>(loop.receive)), 0, "send that nobody hears");
    // The end that is left may be bound again.
    expect(op(EVTCHNOP_bind_interdomain, bind) == 0, "bind to the end that is left");
}

void allocate() {
    evtchn_alloc_unbound alloc{};
    alloc.dom = no_domain;
    expect_result(op(EVTCHNOP_alloc_unbound, alloc), -XEN_ESRCH, "alloc_unbound for no domain");
    evtchn_status status{};
    status.dom = no_domain;
    expect_result(op(EVTCHNOP_status, status), -XEN_ESRCH, "status of no domain");
    const long unbound = alloc_port(DOMID_SELF);
    const auto port = static_cast<evtchn_port_t>(unbound);
    expect_result(status_of(port, status), 0, "status of an unbound port");
    expect(status.status == EVTCHNSTAT_unbound, "status %u of an unbound port", status.status);
    expect_result(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{port, 0}), 0, "bind_vcpu of an unbound port");
    expect_result(close_port(port), 0, "close an unbound port");
    expect_result(alloc_port(DOMID_SELF), unbound, "the lowest port that is free");
}

void virqs() {
    expect_result(bind_virq(NR_VIRQS), -XEN_EINVAL, "a VIRQ out of range");
    expect_result(bind_virq(0xffffffff), -XEN_EINVAL, "VIRQ 2^32-1");
    evtchn_bind_virq other{};
    other.virq = VIRQ_DEBUG;
    other.vcpu = 4095;
    expect_result(op(EVTCHNOP_bind_virq, other), -XEN_ENOENT, "a VIRQ of vCPU 4095");
    other.virq = VIRQ_CONSOLE;
    other.vcpu = 1;
    expect_result(op(EVTCHNOP_bind_virq, other), -XEN_EINVAL, "a global VIRQ on another vCPU");
    const auto debug = static_cast<evtchn_port_t>(bind_virq(VIRQ_DEBUG));
    expect_result(notify_port(debug), -XEN_EINVAL, "send on a VIRQ");
    expect_result(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{debug, 0}), -XEN_EINVAL, "bind_vcpu of a per-vCPU VIRQ");
    const auto ipi = static_cast<evtchn_port_t>(bind_ipi());
    expect_result(op(EVTCHNOP_bind_vcpu, evtchn_bind_vcpu{ipi, 0}), -XEN_EINVAL, "bind_vcpu of an IPI");
}

/// A result that cannot be written: -EFAULT, and where Xen opens a port all the same, we do not look.
void pointers() {
    auto* page = static_cast<unsigned char*>(alloc_page());
    expect_result(set_read_only(page), 0, "read-only");
    for (unsigned command = EVTCHNOP_bind_interdomain; command <= EVTCHNOP_set_priority; ++command) {
        expect_result(event_channel_op(command, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
        expect_refused(event_channel_op(command, reinterpret_cast<void*>(HYPERVISOR_VIRT_START)),
                       "a pointer into the hypervisor");
    }
    expect_result(event_channel_op(EVTCHNOP_bind_ipi, page), -XEN_EFAULT, "bind_ipi with a read-only result");
    expect_result(event_channel_op(15, page), -XEN_ENOSYS, "operation 15");
    expect_result(event_channel_op(0xffffffff, page), -XEN_ENOSYS, "operation 2^32-1");
}

} // namespace

void test() {
    what_exists();
    interdomain();
    allocate();
    virqs();
    pointers();
}

} // namespace parapet::guest
