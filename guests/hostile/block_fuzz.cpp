// SPDX-License-Identifier: Apache-2.0
// Pseudo-random requests, indices, segments, grants and indirect pages on a disk of several ring pages and persistent
// grants; writes are aimed at the first half only.
// seed=N (1), steps=N (400)
// needs: disk 4M persistent=1
// needs: disk 4M
#include "guests/hostile/abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/random.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"block_fuzz"};
Random random{1};
constexpr unsigned page_count = 16;
blkif_request_segment good[page_count];
grant_ref_t segment_pages[4]; ///< of indirect segments
grant_ref_t dead;             ///< grants nothing

uint64_t number() {
    switch (random.below(6)) {
    case 0:
        return 0;
    case 1:
        return random.below(16);
    case 2:
        return ~0ul >> random.below(64);
    case 3:
        return 1ul << random.below(64);
    default:
        return random.next();
    }
}

/// A place where a write does no harm: in the first half, or nowhere.
uint64_t sector() {
    const uint64_t half = abuse.victim.offers().sectors / 2;
    return random.one_in(4) ? abuse.victim.offers().sectors + number() % (~0ul / 2) : random.below(half - 1024);
}

blkif_request_segment segment() {
    blkif_request_segment one = good[random.below(page_count)];
    if (random.one_in(8)) {
        one.gref = random.one_in(2) ? dead : static_cast<grant_ref_t>(number() | grant_frames * 512); // not xvdb's ring
    }
    if (random.one_in(4)) {
        one.first_sect = static_cast<uint8_t>(number());
        one.last_sect = static_cast<uint8_t>(number());
    } else if (random.one_in(2)) {
        one.first_sect = static_cast<uint8_t>(random.below(8));
    }
    return one;
}

void fill(void* slot) {
    auto& request = *static_cast<blkif_request_t*>(slot);
    request.operation = static_cast<uint8_t>(random.one_in(8) ? number() : random.below(7));
    request.nr_segments = static_cast<uint8_t>(random.one_in(8) ? number() : random.below(13));
    request.handle = static_cast<blkif_vdev_t>(number());
    request.id = number();
    request.sector_number = sector();
    for (auto& one : request.seg) {
        one = segment();
    }
    if (request.operation == BLKIF_OP_DISCARD) {
        reinterpret_cast<blkif_request_discard_t&>(request).nr_sectors =
            random.one_in(2) ? number() | 1ul << 40 : random.below(64);
    }
    if (request.operation == BLKIF_OP_INDIRECT) {
        auto& indirect = *static_cast<blkif_request_indirect_t*>(slot);
        indirect.indirect_op = static_cast<uint8_t>(random.one_in(4) ? number() : random.below(4));
        indirect.nr_segments = static_cast<uint16_t>(random.one_in(4) ? number() : random.below(64));
        indirect.sector_number = sector();
        for (auto& ref : indirect.indirect_grefs) {
            ref = random.one_in(8) ? dead : segment_pages[random.below(4)];
        }
    }
}

void step() {
    BlockQueue& queue = abuse.victim.queue(static_cast<unsigned>(random.below(abuse.victim.queues())));
    const uint64_t count = 1 + random.below(8);
    for (uint64_t i = 0; i < count && queue.free_slots() > 0; ++i) {
        fill(&queue.next());
    }
    queue.push();
    if (random.one_in(64)) {
        __atomic_store_n(&queue.ring.sring->req_prod, static_cast<RING_IDX>(number()), __ATOMIC_SEQ_CST);
        notify_port(queue.port);
    }
    if (random.one_in(8)) {
        queue.ring.sring->req_event = static_cast<RING_IDX>(number());
        queue.ring.sring->rsp_event = static_cast<RING_IDX>(number());
    }
    blkif_response_t response{};
    for (unsigned i = 0; i < 64 && queue.take(response, random.one_in(8) ? 2 : 0); ++i) {
    }
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        random = Random{command_line_number("seed", 1)};
        static IoBuffer pages{page_count};
        static blkif_request_segment* lists = static_cast<blkif_request_segment*>(alloc_pages(4));
        pages.segments(good, page_count, false);
        dead = grant_reserve();
        for (unsigned i = 0; i < 4; ++i) {
            segment_pages[i] = grant_page(lists + i * 512, true);
        }
        const uint64_t steps = command_line_number("steps", 400);
        for (uint64_t at = 0; at < steps; ++at) {
            if (at % 50 == 0) {
                abuse.recover("fuzzing");
                abuse.check(abuse.victim.reconnect({.queues = static_cast<unsigned>(1 + random.below(2)),
                                                    .ring_pages = 1u << random.below(3),
                                                    .persistent = random.one_in(2)}),
                            "step %lu: no new connection", at);
            }
            for (unsigned i = 0; i < 16; ++i) {
                lists[random.below(2048)] = segment();
            }
            step();
            if (at % 16 == 15 && abuse.stopped()) {
                abuse.recover("a fuzzed ring");
            }
        }
        abuse.recover("all fuzzing");
        abuse.check(pages.end_grants(), "a grant is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
