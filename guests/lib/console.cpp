// SPDX-License-Identifier: Apache-2.0
// Console output over the ring (IN/OUT: see xen/io/console.h) or console_io.
#include "guests/lib/console.hpp"

#include "guests/lib/cpu.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

xencons_interface* ring = nullptr;
evtchn_port_t ring_port = 0;

void write_emergency(const char* text, size_t length) {
    hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, text);
}

void notify() {
    evtchn_send send{ring_port};
    event_channel_op(EVTCHNOP_send, &send);
}

/// Lets the other end run: a short sleep, or a yield where the port cannot be polled.
void wait_for_space() {
    sched_poll poll{};
    set_xen_guest_handle(poll.ports, &ring_port);
    poll.nr_ports = 1;
    poll.timeout = now_ns() + 1'000'000;
    if (sched_op(SCHEDOP_poll, &poll) != 0) {
        sched_op(SCHEDOP_yield);
    }
}

} // namespace

void console_init(const start_info_t& info) {
    if ((info.flags & SIF_INITDOMAIN) != 0 || info.console.domU.mfn == 0) {
        return;
    }
    ring = static_cast<xencons_interface*>(mfn_to_virt(info.console.domU.mfn));
    ring_port = info.console.domU.evtchn;
}

void console_write(const char* text, size_t length) {
    if (ring == nullptr) {
        write_emergency(text, length);
        return;
    }
    const uint64_t give_up = now_ns() + 5'000'000'000; // a window that nobody reads must not hang a test
    uint32_t produced = __atomic_load_n(&ring->out_prod, __ATOMIC_RELAXED);
    size_t written = 0;
    while (written < length) {
        const uint32_t used = produced - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE);
        if (used >= sizeof(ring->out)) {
            notify();
            if (now_ns() > give_up) {
                return;
            }
            wait_for_space();
            continue;
        }
        ring->out[produced++ & (sizeof(ring->out) - 1)] = text[written++];
        __atomic_store_n(&ring->out_prod, produced, __ATOMIC_RELEASE);
    }
    notify();
}

void console_drain(unsigned milliseconds) {
    if (ring == nullptr) {
        return;
    }
    const uint64_t give_up = now_ns() + milliseconds * 1'000'000ul;
    while (__atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) != ring->out_prod && now_ns() < give_up) {
        wait_for_space();
    }
}

} // namespace parapet::guest
