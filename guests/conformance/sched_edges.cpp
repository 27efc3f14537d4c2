// SPDX-License-Identifier: Apache-2.0
// sched_op, vcpu_op and set_timer_op: error numbers, limits of poll, watchdogs, deadlines at the ends of the range.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "sched_edges";

namespace {

constexpr uint64_t ms = 1'000'000;

long poll(const evtchn_port_t* ports, unsigned count, uint64_t timeout) {
    sched_poll request{};
    set_xen_guest_handle(request.ports, const_cast<evtchn_port_t*>(ports));
    request.nr_ports = count;
    request.timeout = timeout;
    return sched_op(SCHEDOP_poll, &request);
}

void poll_limits(evtchn_port_t port) {
    static evtchn_port_t ports[129];
    for (evtchn_port_t& each : ports) {
        each = port;
    }
    expect_result(poll(ports, 128, now_ns() + ms), 0, "poll of 128 ports");
    expect_result(poll(ports, 129, now_ns() + ms), -XEN_EINVAL, "poll of 129 ports");
    expect_result(poll(nullptr, 0, now_ns() + ms), 0, "poll of no ports");
    ports[1] = 0xffffffff;
    expect_result(poll(ports, 2, now_ns() + ms), -XEN_EINVAL, "a port out of range behind one that is idle");
    notify_port(port);
    expect_result(poll(ports, 2, now_ns() + ms), 0, "a port out of range behind one that is pending");
    clear_port(port);
    // Ports that end in a hole: those before it count first.
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    auto* last = reinterpret_cast<evtchn_port_t*>(pages + page_size) - 1;
    *last = port;
    expect_result(poll(last, 2, now_ns() + ms), -XEN_EFAULT, "ports that end in a hole");
    notify_port(port);
    expect_result(poll(last, 2, now_ns() + ms), 0, "a pending port before the hole");
    // A global event ends a poll, whatever it polls.
    clear_port(port);
    const auto other = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(other);
    notify_port(other);
    __atomic_store_n(&this_vcpu().evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
    const uint64_t begin = now_ns();
    expect_result(poll(&port, 1, begin + 3000 * ms), 0, "poll with an event to deliver");
    expect(now_ns() - begin < 1500 * ms, "it waited");
    expect(event_count(other) == 1, "the event was not taken");
    mask_events();
    // Timeouts in the past, and the smallest one.
    expect_result(poll(&port, 1, 1), 0, "poll until 1 ns");
    expect_result(poll(&port, 1, ~0ul), 0, "poll until -1 ns");
}

void watchdogs() {
    sched_watchdog dog{};
    dog.timeout = 60;
    const long first = sched_op(SCHEDOP_watchdog, &dog);
    const long second = sched_op(SCHEDOP_watchdog, &dog);
    expect(first == 1 && second == 2, "watchdogs %ld, %ld", first, second);
    // Xen's number is an unsigned one of 32 bits that became a long; guests take it for an int.
    expect_result(static_cast<int>(sched_op(SCHEDOP_watchdog, &dog)), -XEN_ENOSPC, "a third watchdog");
    dog.id = 3;
    expect_result(sched_op(SCHEDOP_watchdog, &dog), -XEN_EINVAL, "watchdog 3");
    dog.id = 1;
    expect_result(sched_op(SCHEDOP_watchdog, &dog), 0, "put the first off");
    dog.timeout = 0;
    expect_result(sched_op(SCHEDOP_watchdog, &dog), 0, "stop the first");
    expect_result(sched_op(SCHEDOP_watchdog, &dog), -XEN_EINVAL, "stop it twice");
    dog.id = 2;
    expect_result(sched_op(SCHEDOP_watchdog, &dog), 0, "stop the second");
    expect_result(sched_op(SCHEDOP_watchdog, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
}

void vcpus() {
    for (const unsigned command :
         {VCPUOP_up, VCPUOP_down, VCPUOP_is_up, VCPUOP_get_runstate_info, VCPUOP_register_runstate_memory_area,
          VCPUOP_set_periodic_timer, VCPUOP_stop_periodic_timer, VCPUOP_set_singleshot_timer,
          VCPUOP_stop_singleshot_timer, VCPUOP_register_vcpu_info, VCPUOP_send_nmi,
          VCPUOP_register_vcpu_time_memory_area}) {
        expect_result(vcpu_op(command, 4095, nullptr), -XEN_ENOENT, "vcpu_op of vCPU 4095");
        expect_result(vcpu_op(command, ~0u, nullptr), -XEN_ENOENT, "vcpu_op of vCPU 2^32-1");
    }
    for (const unsigned command :
         {VCPUOP_get_runstate_info, VCPUOP_register_runstate_memory_area, VCPUOP_set_periodic_timer,
          VCPUOP_set_singleshot_timer, VCPUOP_register_vcpu_info, VCPUOP_register_vcpu_time_memory_area}) {
        expect_result(vcpu_op(command, 0, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    }
    expect_result(vcpu_op(VCPUOP_up, 0, nullptr), 0, "up of a vCPU that is up");
    vcpu_set_periodic_timer timer{ms - 1};
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &timer), -XEN_EINVAL, "a period below 1 ms");
    timer.period_ns = ms;
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &timer), 0, "a period of 1 ms");
    timer.period_ns = 1ul << 63;
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &timer), -XEN_EINVAL, "a period of 2^63 ns");
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop the periodic timer");
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop it twice");
    expect_result(vcpu_op(VCPUOP_stop_singleshot_timer, 0, nullptr), 0, "stop a timer that is off");
    // Areas whose addresses are the hypervisor's are refused; one that is not mapped is taken, and filled once it is.
    vcpu_register_runstate_memory_area area{};
    area.addr.p = HYPERVISOR_VIRT_START;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), -XEN_EFAULT, "an area in the hypervisor");
    area.addr.p = 0x1000;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0, "an area that is not mapped");
    area.addr.p = 0;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0, "no area");
    expect_result(vcpu_op(VCPUOP_register_vcpu_info + 1000, 0, nullptr), -XEN_ENOSYS, "unknown operation");
}

bool timer_fires(evtchn_port_t port, uint64_t within) {
    for (const uint64_t until = now_ns() + within; now_ns() < until;) {
        if (port_pending(port)) {
            return true;
        }
        xen_version(XENVER_version, nullptr);
    }
    return false;
}

void deadlines(evtchn_port_t timer) {
    clear_port(timer);
    expect_result(set_timer_op(1), 0, "a deadline of 1 ns");
    expect(timer_fires(timer, 1000 * ms), "it did not come");
    // Guests whose clock wrapped: answered after a while, not never.
    for (const uint64_t deadline : {~0ul, 1ul << 63, now_ns() + (1ul << 51)}) {
        clear_port(timer);
        expect_result(set_timer_op(deadline), 0, "a deadline of a clock that wrapped");
        expect(timer_fires(timer, 1000 * ms), "a deadline of %lx did not come", deadline);
    }
    clear_port(timer);
    expect_result(set_timer_op(now_ns() + 3'600'000 * ms), 0, "a deadline in an hour");
    expect(!timer_fires(timer, 200 * ms), "it came at once");
    expect_result(set_timer_op(0), 0, "stop");
    vcpu_set_singleshot_timer shot{};
    shot.timeout_abs_ns = ~0ul;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "a singleshot of a clock that wrapped");
    expect(timer_fires(timer, 1000 * ms), "it did not come");
}

} // namespace

void test() {
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    const auto timer = static_cast<evtchn_port_t>(bind_virq(VIRQ_TIMER));
    vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr);
    poll_limits(port);
    watchdogs();
    vcpus();
    deadlines(timer);
    sched_shutdown code{SHUTDOWN_poweroff};
    expect_result(sched_op(SCHEDOP_shutdown_code, &code), 0, "shutdown_code");
    expect_result(sched_op(SCHEDOP_shutdown_code, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    expect_result(sched_op(SCHEDOP_remote_shutdown, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
    sched_remote_shutdown remote{};
    remote.domain_id = 0x7000;
    expect_result(sched_op(SCHEDOP_remote_shutdown, &remote), -XEN_ESRCH, "remote_shutdown of no domain");
}

} // namespace parapet::guest
