// SPDX-License-Identifier: Apache-2.0
// Ring indices of a disk that jump, go back and race; the backend's own indices overwritten.
// needs: disk 4M
// needs: disk 4M
// log: vbd/51712|xvda
#include "guests/hostile/abuse.hpp"

#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"block_ring_jump"};

blkif_sring_t& shared() {
    return *abuse.victim.queue().ring.sring;
}

void set_request_index(RING_IDX index) {
    __atomic_store_n(&shared().req_prod, index, __ATOMIC_SEQ_CST);
    notify_port(abuse.victim.queue().port);
}

/// Further than the ring is long, and back.
void jumps() {
    const RING_IDX slots = RING_SIZE(&abuse.victim.queue().ring);
    for (const RING_IDX by : {slots + 1, 2 * slots, RING_IDX{0x7fffffff}, RING_IDX{0x80000000}, RING_IDX{0xffffffff},
                              RING_IDX{0xfffff000}}) {
        set_request_index(abuse.victim.queue().ring.req_prod_pvt + by);
        abuse.must_stop("an index that jumps");
        abuse.recover("an index that jumps");
    }
}

/// As many requests as there are slots, of nothing but zeroes and of nothing but ones.
void claims() {
    for (const int byte : {0, 0xff, 6}) {
        auto& ring = abuse.victim.queue().ring;
        const RING_IDX slots = RING_SIZE(&ring);
        memset(shared().ring, byte, slots * sizeof(shared().ring[0]));
        ring.req_prod_pvt += slots;
        abuse.victim.queue().push();
        abuse.must_refuse("a slot that was never filled", slots);
        abuse.recover("slots that were never filled");
    }
}

/// What the backend publishes is not what it believes.
void backends_own() {
    blkif_request_segment segment;
    abuse.buffer->segments(&segment, 1, false);
    for (const RING_IDX wild : {RING_IDX{0}, RING_IDX{1000}, RING_IDX{0x80000000}, RING_IDX{0xffffffff}}) {
        auto& ring = abuse.victim.queue().ring;
        abuse.victim.post(0, BLKIF_OP_READ, 1, 64, &segment, 1);
        __atomic_store_n(&shared().rsp_prod, wild, __ATOMIC_SEQ_CST);
        __atomic_store_n(&shared().req_event, wild, __ATOMIC_SEQ_CST);
        __atomic_store_n(&shared().rsp_event, ring.rsp_cons + 1, __ATOMIC_SEQ_CST);
        set_request_index(ring.req_prod_pvt);
        const uint64_t end = now_ns() + 2'000'000'000;
        while (__atomic_load_n(&shared().rsp_prod, __ATOMIC_SEQ_CST) != ring.req_prod_pvt && now_ns() < end) {
            clear_port(abuse.victim.queue().port);
            wait_for_port(abuse.victim.queue().port, now_ns() + 1'000'000);
        }
        abuse.check(shared().rsp_prod == ring.req_prod_pvt || abuse.stopped(), "rsp_prod %x: no answer", wild);
        ring.rsp_cons = ring.req_prod_pvt;
    }
    abuse.check(abuse.buffer->end_grants(), "a grant is still in use");
    abuse.recover("the backend's indices overwritten");
}

/// The index is good and bad in turns, as fast as it can be.
void races() {
    blkif_request_segment segment;
    abuse.buffer->segments(&segment, 1, false);
    for (unsigned round = 0; round < 4; ++round) {
        const RING_IDX good = abuse.victim.queue().ring.req_prod_pvt + 1;
        abuse.victim.post(0, BLKIF_OP_READ, 1, 64, &segment, 1);
        set_request_index(good);
        for (unsigned i = 0; i < 20'000; ++i) {
            __atomic_store_n(&shared().req_prod, good + (i % 2 == 0 ? 0x1000 * round : 0), __ATOMIC_SEQ_CST);
        }
        set_request_index(good);
        abuse.settle(300);
        abuse.recover("a racing index");
    }
    abuse.check(abuse.buffer->end_grants(), "a grant is still in use");
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        jumps();
        claims();
        backends_own();
        races();
    }
    return abuse.finish();
}

} // namespace parapet::guest
