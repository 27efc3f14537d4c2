// SPDX-License-Identifier: Apache-2.0
// Timers: set_timer_op and the singleshot timer arrive once, not early; past deadlines; stopping; periodic.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "timer";

namespace {

evtchn_port_t port;

/// Waits until one more event than `before` is there, or `ns` have passed; whether it came.
bool wait_event(uint64_t before, uint64_t ns) {
    for (const uint64_t until = now_ns() + ns; now_ns() < until;) {
        if (event_count(port) > before) {
            return true;
        }
        cpu_relax();
    }
    return false;
}

constexpr uint64_t ms = 1'000'000;

void expect_once(uint64_t before, uint64_t deadline, const char* what) {
    if (expect(wait_event(before, 2000 * ms), "%s: no event in 2 s", what)) {
        expect(now_ns() + 100'000 >= deadline, "%s: %lu ns early", what, deadline - now_ns());
        expect(!wait_event(before + 1, 20 * ms), "%s: a second event", what);
    }
}

void singleshot() {
    uint64_t before = event_count(port);
    vcpu_set_singleshot_timer shot{};
    shot.timeout_abs_ns = now_ns() + 5 * ms;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "singleshot");
    expect_once(before, shot.timeout_abs_ns, "singleshot");
    before = event_count(port);
    shot.timeout_abs_ns = now_ns() + 100 * ms;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "singleshot to be stopped");
    expect_result(vcpu_op(VCPUOP_stop_singleshot_timer, 0, nullptr), 0, "stop");
    expect(!wait_event(before, 200 * ms), "an event after the stop");
    shot.timeout_abs_ns = now_ns() - ms;
    shot.flags = VCPU_SSHOTTMR_future;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "a past deadline with VCPU_SSHOTTMR_future");
    shot.flags = 0;
    before = event_count(port);
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "a past deadline");
    expect(wait_event(before, 2000 * ms), "no event for a past deadline");
    expect_refused(vcpu_op(VCPUOP_set_singleshot_timer, 4095, &shot), "vCPU 4095");
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");
}

void periodic() {
    vcpu_set_periodic_timer timer{10 * ms};
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &timer), 0, "periodic");
    const uint64_t before = event_count(port);
    const uint64_t begin = now_ns();
    while (now_ns() < begin + 200 * ms) {
        cpu_relax();
    }
    const uint64_t ticks = event_count(port) - before;
    expect(ticks >= 5 && ticks <= 25, "%lu ticks of 10 ms in 200 ms", ticks);
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop");
    wait_event(event_count(port), 20 * ms);
    expect(!wait_event(event_count(port), 50 * ms), "ticks after the stop");
    timer.period_ns = 1;
    expect_refused(vcpu_op(VCPUOP_set_periodic_timer, 0, &timer), "a period of 1 ns");
}

} // namespace

void test() {
    port = static_cast<evtchn_port_t>(bind_virq(VIRQ_TIMER));
    unmask_port(port);
    unmask_events();
    vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr);
    uint64_t before = event_count(port);
    uint64_t deadline = now_ns() + 5 * ms;
    expect_result(set_timer_op(deadline), 0, "set_timer_op");
    expect_once(before, deadline, "set_timer_op");
    before = event_count(port);
    expect_result(set_timer_op(now_ns() - ms), 0, "a past deadline");
    expect(wait_event(before, 2000 * ms), "no event for a past deadline");
    before = event_count(port);
    expect_result(set_timer_op(now_ns() + 50 * ms), 0, "set");
    expect_result(set_timer_op(0), 0, "cancel");
    expect(!wait_event(before, 100 * ms), "an event after set_timer_op(0)");

    // Blocking until it comes.
    before = event_count(port);
    deadline = now_ns() + 20 * ms;
    set_timer_op(deadline);
    while (event_count(port) == before && now_ns() < deadline + 2000 * ms) {
        sched_op(SCHEDOP_block);
    }
    expect(event_count(port) == before + 1, "no event while blocked");
    expect(now_ns() + 100'000 >= deadline, "woken early");
    singleshot();
    periodic();
}

} // namespace parapet::guest
