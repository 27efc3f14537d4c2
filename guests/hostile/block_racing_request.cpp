// SPDX-License-Identifier: Apache-2.0
// Requests and indirect segments that are changed after they were posted, again and again while the backend reads them.
// Only the first half of the disk is ever named for writing, or sectors that do not exist.
// rounds=N (24)
// needs: disk 4M
// needs: disk 4M
#include "guests/hostile/abuse.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/random.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"block_racing_request"};
Random random{7};
grant_ref_t dead; // grants nothing

template <typename T>
void store(T& place, T value) {
    *const_cast<volatile T*>(&place) = value;
}

void spoil(blkif_request_t& request, const blkif_request_segment& good) {
    switch (random.below(8)) {
    case 0:
        return store(request.nr_segments, static_cast<uint8_t>(random.below(256)));
    case 1:
        return store(request.nr_segments, uint8_t{1});
    case 2:
        return store(request.sector_number, random.one_in(2) ? random.next() | 1ul << 40 : 64 + random.below(512));
    case 3:
        return store(request.seg[0].gref, random.one_in(2) ? dead : good.gref);
    case 4:
        return store(request.seg[0].last_sect, static_cast<uint8_t>(random.below(256)));
    case 5:
        return store(request.seg[0].first_sect, static_cast<uint8_t>(random.below(16)));
    case 6:
        return store(request.operation, static_cast<uint8_t>(random.below(4)));
    default:
        return store(request.id, random.next());
    }
}

void spin_spoiling(unsigned turns, RING_IDX first, unsigned count, const blkif_request_segment& good) {
    auto& ring = abuse.victim.queue().ring;
    for (unsigned i = 0; i < turns; ++i) {
        spoil(*RING_GET_REQUEST(&ring, first + static_cast<RING_IDX>(random.below(count))), good);
    }
}

void direct(const blkif_request_segment* good) {
    auto& ring = abuse.victim.queue().ring;
    const RING_IDX first = ring.req_prod_pvt;
    const unsigned count = 16;
    for (unsigned i = 0; i < count; ++i) {
        abuse.victim.post(0, i % 4 == 0 ? BLKIF_OP_WRITE : BLKIF_OP_READ, i, 64 + 16 * i, good, 2);
    }
    abuse.victim.queue().push();
    spin_spoiling(20'000, first, count, *good);
    abuse.settle(500);
}

/// The segments of requests with indirect ones: their page is the guest's as well.
void indirect(const blkif_request_segment* good) {
    static blkif_request_segment* page = static_cast<blkif_request_segment*>(alloc_page());
    const grant_ref_t ref = grant_page(page, true);
    memcpy(page, good, 16 * sizeof(*good));
    for (unsigned i = 0; i < 8; ++i) {
        auto& request = reinterpret_cast<blkif_request_indirect_t&>(abuse.victim.queue().next());
        request.operation = BLKIF_OP_INDIRECT;
        request.indirect_op = i % 4 == 0 ? BLKIF_OP_WRITE : BLKIF_OP_READ;
        request.nr_segments = 16;
        request.id = i;
        request.sector_number = 64;
        request.indirect_grefs[0] = ref;
    }
    abuse.victim.queue().push();
    for (unsigned i = 0; i < 20'000; ++i) {
        blkif_request_segment& segment = page[random.below(16)];
        switch (random.below(3)) {
        case 0:
            store(segment.gref, random.one_in(2) ? dead : good->gref);
            break;
        case 1:
            store(segment.last_sect, static_cast<uint8_t>(random.below(12)));
            break;
        default:
            store(segment.first_sect, static_cast<uint8_t>(random.below(12)));
        }
    }
    abuse.settle(500);
    abuse.check(grant_end(ref) || abuse.stopped(), "an indirect page is still in use");
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        static IoBuffer pages{16};
        static blkif_request_segment good[16];
        pages.segments(good, 16, false);
        dead = grant_reserve();
        const uint64_t rounds = command_line_number("rounds", 24);
        for (uint64_t round = 0; round < rounds; ++round) {
            if (round % 2 == 0) {
                direct(good);
            } else if (abuse.victim.offers().indirect_segments >= 16) {
                indirect(good);
            }
            if (round % 6 == 5 || abuse.stopped()) {
                abuse.recover("racing requests");
            }
        }
        abuse.recover("all races");
        abuse.check(pages.end_grants(), "a grant is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
