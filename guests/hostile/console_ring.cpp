// SPDX-License-Identifier: Apache-2.0
// Impossible indices in the console ring, and notifications for each.
#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr uint32_t wild[] = {0xffffffff, 0x80000000, 0x7fffffff, 2049, 0x10000, 1};

void pause() {
    sched_poll poll{};
    poll.timeout = now_ns() + 2'000'000;
    sched_op(SCHEDOP_poll, &poll);
}

void corrupt(xencons_interface& ring, evtchn_port_t port) {
    for (const uint32_t a : wild) {
        for (const uint32_t b : wild) {
            __atomic_store_n(&ring.out_cons, a, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring.out_prod, b, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring.in_cons, b, __ATOMIC_SEQ_CST);
            __atomic_store_n(&ring.in_prod, a, __ATOMIC_SEQ_CST);
            notify_port(port);
            pause();
        }
    }
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    const start_info_t& info = start_info();
    if (is_initial_domain() || info.console.domU.mfn == 0) {
        print("verdict: SKIP console_ring: no console ring\n");
        return 0;
    }
    console_drain(2000); // what was said so far must not be lost with the ring
    corrupt(*static_cast<xencons_interface*>(mfn_to_virt(info.console.domU.mfn)), info.console.domU.evtchn);
    return 0; // the console may well be dead now: the exit status is the verdict
}

} // namespace parapet::guest
