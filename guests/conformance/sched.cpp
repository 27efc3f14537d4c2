// SPDX-License-Identifier: Apache-2.0
// sched_op: yield, poll with and without events and timeouts, unknown operations.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "sched";

namespace {

long poll(evtchn_port_t* ports, unsigned count, uint64_t timeout) {
    sched_poll request{};
    set_xen_guest_handle(request.ports, ports);
    request.nr_ports = count;
    request.timeout = timeout;
    return sched_op(SCHEDOP_poll, &request);
}

} // namespace

void test() {
    expect_result(sched_op(SCHEDOP_yield), 0, "yield");
    auto port = static_cast<evtchn_port_t>(bind_ipi());
    const uint64_t begin = now_ns();
    expect_result(poll(&port, 1, begin + 20'000'000), 0, "poll until the timeout");
    const uint64_t waited = now_ns() - begin;
    expect(waited >= 19'000'000, "the poll ended after %lu ns of 20 ms", waited);
    expect(waited < 2'000'000'000, "the poll took %lu ns", waited);
    notify_port(port);
    const uint64_t again = now_ns();
    expect_result(poll(&port, 1, again + 3'000'000'000), 0, "poll of a pending port");
    expect(now_ns() - again < 1'500'000'000, "the poll of a pending port waited");
    expect_result(poll(&port, 1, now_ns() - 1'000'000), 0, "poll with a past timeout");
    clear_port(port);
    expect_result(poll(&port, 0, now_ns() + 1'000'000), 0, "poll of no ports");
    evtchn_port_t wild = 0xffffff;
    expect_result(poll(&wild, 1, now_ns() + 1'000'000), -XEN_EINVAL, "poll of a port out of range");
    expect_result(poll(&port, 100'000, now_ns() + 1'000'000), -XEN_EINVAL, "poll of too many ports");
    expect_result(poll(reinterpret_cast<evtchn_port_t*>(0x1000), 1, now_ns() + 1'000'000), -XEN_EFAULT, "bad ports");
    expect_result(sched_op(SCHEDOP_poll, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    expect_result(sched_op(SCHEDOP_shutdown, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "shutdown, bad pointer");
    expect_result(sched_op(999), -XEN_ENOSYS, "unknown operation");
    // Blocking with an event pending returns at once and unmasks.
    unmask_port(port);
    mask_events();
    notify_port(port);
    expect_result(sched_op(SCHEDOP_block), 0, "block with an event pending");
    expect(event_count(port) == 1, "the event was not taken");
    expect(!events_masked(), "block did not unmask events");
}

} // namespace parapet::guest
