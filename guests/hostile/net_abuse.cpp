// SPDX-License-Identifier: Apache-2.0
#include "guests/hostile/net_abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned xvda = 202 << 8;
unsigned char received[most_frame];

} // namespace

bool NetAbuse::start() {
    print("expect: poweroff\n");
    unsigned ids[4];
    if (xenbus_devices("vif", ids, 4) < 2 || xenbus_devices("vbd", ids, 4) == 0) {
        skip("it needs two interfaces and a disk");
        return false;
    }
    static IoBuffer buffer{2};
    static TxFrame to_send;
    buffer_ = &buffer;
    frame = &to_send;
    return check(grants_init() == 0, "the grant table") &&
           check(disk.open(xvda) && disk.connect(), "xvda does not connect") &&
           check(victim.open(0) && victim.connect(), "vif 0 does not connect") &&
           check(partner.open(1) && partner.connect(), "vif 1 does not connect");
}

void NetAbuse::must_stop(const char* after) {
    constexpr unsigned ends = state_bit(XenbusStateClosing) | state_bit(XenbusStateClosed);
    check(victim.bus.wait_backend(ends, 5'000) != 0, "%s: the device goes on", after);
}

int NetAbuse::answers(const char* what, unsigned requests) {
    int status = NETIF_RSP_NULL;
    for (unsigned i = 0; i < requests; ++i) {
        netif_tx_response_t response{};
        for (const uint64_t end = now_ns() + 2'000'000'000; !victim.queue().take_tx(response, 20);) {
            if (const bool ended = stopped(); ended || now_ns() > end) {
                check(ended, "%s: no answer", what);
                return NETIF_RSP_ERROR;
            }
        }
        status = response.status != NETIF_RSP_NULL ? response.status : status;
    }
    return status;
}

/// The cable may take a moment to be plugged in again, and what was sent before may still come.
bool NetAbuse::passes(NetDevice& from, NetDevice& to, const char* after) {
    make_frame(*frame, to.offers().mac, from.offers().mac, {}, 300, ++seed_);
    for (const uint64_t end = now_ns() + 5'000'000'000; now_ns() < end;) {
        const int status = from.send(*frame);
        if (!check(frame->end_grants() && status != -100, "%s: sending: status %d", after, status)) {
            return false;
        }
        FrameFlags flags;
        for (long size; (size = to.receive(received, sizeof(received), flags, 50)) > 0;) {
            if (is_ours(received, static_cast<size_t>(size)) &&
                check_frame(received, static_cast<size_t>(size), *frame, flags.csum_blank) == nullptr) {
                return true;
            }
        }
    }
    return check(false, "%s: nothing passes from %s to %s", after, from.bus.frontend(), to.bus.frontend());
}

void NetAbuse::recover(const char* after) {
    const char* wrong = write_and_check(disk, 64, ++seed_, *buffer_, 2);
    check(wrong == nullptr, "%s: xvda: %s", after, wrong == nullptr ? "" : wrong);
    if (check(victim.reconnect(), "%s: vif 0 does not come back: state %u", after, victim.bus.backend_state())) {
        passes(victim, partner, after) && passes(partner, victim, after);
    }
}

} // namespace parapet::guest
