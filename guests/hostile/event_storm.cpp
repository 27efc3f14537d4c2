// SPDX-License-Identifier: Apache-2.0
// A flood of events to itself, from within the upcall too, and of timers in the past.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned rounds = 20'000;
evtchn_port_t ping;
evtchn_port_t pong;
volatile unsigned left = rounds;

void answer(evtchn_port_t port) {
    if (left != 0) {
        left = left - 1;
        notify_port(port == ping ? pong : ping);
        set_timer_op(1);
    }
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    const long timer = bind_virq(VIRQ_TIMER);
    unmask_port(static_cast<evtchn_port_t>(timer));
    ping = static_cast<evtchn_port_t>(bind_ipi());
    pong = static_cast<evtchn_port_t>(bind_ipi());
    for (const evtchn_port_t port : {ping, pong}) {
        set_event_handler(port, answer);
        unmask_port(port);
    }
    unmask_events();
    notify_port(ping);
    for (unsigned i = 0; i < rounds && left != 0; ++i) {
        sched_op(SCHEDOP_yield);
    }
    mask_events();
    for (unsigned i = 0; i < rounds; ++i) {
        notify_port(ping);
    }
    // As many ports as there are, none ever closed.
    unsigned ports = 0;
    while (ports < 10'000 && bind_ipi() > 0) {
        ++ports;
    }
    print("hostile: %u events left, %u ports bound\n", left, ports);
    const bool good = left == 0 && ports > 100 && ports < 5000;
    print("verdict: %s event_storm\n", good ? "PASS" : "FAIL");
    return good ? 0 : 1;
}

} // namespace parapet::guest
