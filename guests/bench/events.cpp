// SPDX-License-Identifier: Apache-2.0
// Events to self, the timer, blocking, a question to the host.
#include <initializer_list>

#include "guests/lib/events.hpp"

#include "guests/bench/operation.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/time.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest::bench {

namespace {

constexpr uint64_t ahead_ns = 200'000;          // deadlines lie this far ahead
constexpr uint64_t patience_ns = 1'000'000'000; // an event that takes longer is lost
constexpr uint64_t wait_limit = 500;

evtchn_port_t ipi;
evtchn_port_t loop_receive;
evtchn_port_t loop_send;
evtchn_port_t timer;
uint64_t timer_arrival; // time-stamp counter

void timer_arrived(evtchn_port_t) {
    timer_arrival = rdtsc();
}

long prepare() {
    const long self = bind_ipi();
    const Loop loop = bind_loop();
    const long virq = bind_virq(VIRQ_TIMER);
    for (const long port : {self, loop.receive, loop.send, virq}) {
        if (port < 0) {
            return port;
        }
    }
    ipi = static_cast<evtchn_port_t>(self);
    loop_receive = static_cast<evtchn_port_t>(loop.receive);
    loop_send = static_cast<evtchn_port_t>(loop.send);
    timer = static_cast<evtchn_port_t>(virq);
    set_event_handler(timer, timer_arrived);
    for (const evtchn_port_t port : {ipi, loop_receive, loop_send, timer}) {
        unmask_port(port);
    }
    unmask_events();
    return 0;
}

/// Sends and expects the upcall taken before the send returns, as it is for an event to oneself.
uint64_t send_and_take(uint64_t count, evtchn_port_t send, evtchn_port_t receive) {
    return timed(count, [=](uint64_t) {
        const uint64_t before = event_count(receive);
        return notify_port(send) == 0 && event_count(receive) == before + 1;
    });
}

uint64_t event_self(uint64_t count) {
    return send_and_take(count, ipi, ipi);
}

uint64_t event_loop(uint64_t count) {
    return send_and_take(count, loop_send, loop_receive);
}

uint64_t set_timer(uint64_t count) {
    const uint64_t far = now_ns() + 3'600'000'000'000;
    const uint64_t ticks = timed(count, [=](uint64_t) { return set_timer_op(far) == 0; });
    set_timer_op(0);
    return ticks;
}

/// Ticks from each deadline to the event's handler, summed. `wait` passes the time until `arrived`.
template <typename Wait>
uint64_t timer_latency(uint64_t count, Wait wait) {
    uint64_t late = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t before = event_count(timer);
        const uint64_t now = now_ns();
        const uint64_t deadline_tsc = rdtsc() + ahead_ns * tsc_hertz() / 1'000'000'000;
        if (set_timer_op(now + ahead_ns) != 0) {
            return failed;
        }
        while (event_count(timer) == before) {
            wait(before);
            if (now_ns() > now + patience_ns) {
                return failed;
            }
        }
        late += timer_arrival > deadline_tsc ? timer_arrival - deadline_tsc : 0;
    }
    return late;
}

uint64_t timer_busy(uint64_t count) {
    return timer_latency(count, [](uint64_t) { cpu_relax(); });
}

/// As an idle loop does: blocks, with events masked until the hypervisor unmasks them.
uint64_t timer_block(uint64_t count) {
    return timer_latency(count, [](uint64_t before) {
        mask_events();
        if (event_count(timer) == before) {
            sched_op(SCHEDOP_block);
        }
        unmask_events();
    });
}

/// Blocks with an event already pending: in and out without sleeping.
uint64_t block_pending(uint64_t count) {
    return timed(count, [](uint64_t) {
        const uint64_t before = event_count(ipi);
        mask_events();
        const bool sent = notify_port(ipi) == 0;
        const bool blocked = sched_op(SCHEDOP_block) == 0;
        return sent && blocked && event_count(ipi) == before + 1;
    });
}

/// A doorbell to the host, and its answer.
uint64_t read_store(uint64_t count) {
    return timed(count, [](uint64_t) {
        char value[16];
        return xenstore_read("domid", value, sizeof(value));
    });
}

constexpr Operation operations[] = {
    {"event_self", event_self},
    {"event_loop", event_loop},
    {"set_timer_op", set_timer},
    {"timer", timer_busy, 1, wait_limit},
    {"block_pending", block_pending},
    {"block_timer", timer_block, 1, wait_limit},
    {"xenstore_read", read_store, 1, wait_limit},
};

} // namespace

constinit const Group event_group = {prepare, operations, sizeof(operations) / sizeof(operations[0])};

} // namespace parapet::guest::bench
