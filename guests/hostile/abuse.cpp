// SPDX-License-Identifier: Apache-2.0
#include "guests/hostile/abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

bool Abuse::start() {
    print("expect: poweroff\n");
    unsigned ids[4];
    if (xenbus_devices("vbd", ids, 4) < 2) {
        skip("it needs two disks");
        return false;
    }
    static IoBuffer pages{16};
    buffer = &pages;
    return check(grants_init() == 0, "the grant table") &&
           check(victim.open(victim_id) && victim.connect(), "xvda does not connect") &&
           check(bystander.open(bystander_id) && bystander.connect(), "xvdb does not connect");
}

bool Abuse::stopped() const {
    return victim.bus.backend_state() != XenbusStateConnected;
}

void Abuse::recover(const char* after) {
    const char* wrong = write_and_check(bystander, 64, ++seed_, *buffer, 2);
    check(wrong == nullptr, "%s: xvdb: %s", after, wrong == nullptr ? "" : wrong);
    if (!check(victim.reconnect(), "%s: xvda does not come back: state %u", after, victim.bus.backend_state())) {
        return;
    }
    wrong = write_and_check(victim, 64, ++seed_, *buffer, 2);
    check(wrong == nullptr, "%s: xvda afterwards: %s", after, wrong == nullptr ? "" : wrong);
}

void Abuse::must_stop(const char* after, unsigned milliseconds) {
    constexpr unsigned ends = state_bit(XenbusStateClosing) | state_bit(XenbusStateClosed);
    check(victim.bus.wait_backend(ends, milliseconds) != 0, "%s: the device goes on", after);
}

void Abuse::must_refuse(const char* what, unsigned requests) {
    for (unsigned i = 0; i < requests; ++i) {
        blkif_response_t response{};
        if (!victim.queue().take(response, 2'000)) {
            check(stopped(), "%s: no answer", what);
            return;
        }
        check(response.status != BLKIF_RSP_OKAY, "%s: accepted", what);
    }
}

void Abuse::settle(unsigned milliseconds) {
    blkif_response_t response{};
    for (const uint64_t end = now_ns() + milliseconds * 1'000'000ul; now_ns() < end;) {
        if (victim.queue().free_slots() == RING_SIZE(&victim.queue().ring) ||
            !victim.queue().take(response, milliseconds)) {
            return;
        }
    }
}

} // namespace parapet::guest
