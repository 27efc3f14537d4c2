// SPDX-License-Identifier: Apache-2.0
// Pseudo-random requests in both rings of a network interface, changed while the backend reads them.
// seed=N (1), steps=N (300)
// needs: disk 4M
// needs: vif socket=LINK
// needs: vif socket=LINK
#include "guests/hostile/net_abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/random.hpp"

namespace parapet::guest {

namespace {

NetAbuse abuse{"net_fuzz"};
Random random{1};
grant_ref_t dead;

void fill(netif_tx_request_t& request) {
    if (random.one_in(6)) { // as extra information
        auto& info = reinterpret_cast<netif_extra_info_t&>(request);
        info.type = static_cast<uint8_t>(random.one_in(4) ? random.next() : 1);
        info.flags = static_cast<uint8_t>(random.one_in(8) ? random.next() : 0);
        info.u.gso.size = static_cast<uint16_t>(random.one_in(2) ? 1448 : random.next());
        info.u.gso.type = static_cast<uint8_t>(random.below(4));
        return;
    }
    request.gref = random.one_in(8) ? dead : abuse.frame->refs[random.below(2)];
    request.offset = static_cast<uint16_t>(random.one_in(6) ? random.next() : random.below(64));
    request.size = static_cast<uint16_t>(random.one_in(6) ? random.next() : random.below(3000));
    request.flags = static_cast<uint16_t>(random.one_in(8) ? random.next() : random.below(16));
}

void step() {
    auto& queue = abuse.victim.queue();
    const RING_IDX first = queue.tx.req_prod_pvt;
    const uint64_t count = 1 + random.below(12);
    for (uint64_t i = 0; i < count && RING_FREE_REQUESTS(&queue.tx) > 0; ++i) {
        fill(queue.next_tx());
    }
    queue.push_tx();
    for (unsigned i = 0; i < 500 && queue.tx.req_prod_pvt != first; ++i) {
        const RING_IDX at = first + static_cast<RING_IDX>(random.below(queue.tx.req_prod_pvt - first));
        fill(*RING_GET_REQUEST(&queue.tx, at));
        abuse.frame->bytes()[random.below(60)] = static_cast<unsigned char>(random.next());
    }
    if (random.one_in(64)) {
        auto& ring = random.one_in(2) ? queue.tx.sring->req_prod : queue.rx.sring->req_prod;
        __atomic_store_n(&ring, static_cast<RING_IDX>(random.next()), __ATOMIC_SEQ_CST);
        notify_port(queue.rx_port);
    }
    if (random.one_in(8)) {
        queue.tx.sring->req_event = queue.tx.sring->rsp_event = static_cast<RING_IDX>(random.next());
    }
    netif_tx_response_t response{};
    for (unsigned i = 0; i < 256 && queue.take_tx(response, random.one_in(16) ? 2 : 0); ++i) {
    }
    static unsigned char drop[most_frame];
    FrameFlags flags;
    while (abuse.partner.receive(drop, sizeof(drop), flags, 0) > 0) {
    }
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        random = Random{command_line_number("seed", 1)};
        dead = grant_reserve();
        abuse.recover("nothing yet");
        const uint64_t steps = command_line_number("steps", 300);
        for (uint64_t at = 0; at < steps; ++at) {
            if (at % 4 == 0 && abuse.stopped()) {
                abuse.recover("a fuzzed ring");
            }
            const FrameKind kind{.ipv6 = random.one_in(2), .tcp = true, .segment = 1448};
            make_frame(*abuse.frame, abuse.partner.offers().mac, abuse.victim.offers().mac, kind, 4'000, 1);
            abuse.frame->grant();
            step();
        }
        abuse.recover("all fuzzing");
        abuse.check(abuse.frame->end_grants(), "a sent page is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
