// SPDX-License-Identifier: Apache-2.0
// Requests whose numbers cannot be: each is refused, or the disk stopped.
// needs: disk 4M
// needs: disk 4M
// log: vbd/51712|xvda
#include "guests/hostile/abuse.hpp"

#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/kernel.hpp"

namespace parapet::guest {

namespace {

Abuse abuse{"block_bad_requests"};
blkif_request_segment good[16];
unsigned since_recovery = 0;

/// Posts what `spoil` makes of a good request of two segments, and sees it refused.
template <typename Spoil>
void bad(const char* what, Spoil spoil) {
    if (abuse.stopped() || ++since_recovery == 16) {
        since_recovery = 0;
        abuse.recover(what);
    }
    abuse.victim.post(0, BLKIF_OP_READ, 7, 64, good, 2);
    auto& ring = abuse.victim.queue().ring;
    spoil(*RING_GET_REQUEST(&ring, ring.req_prod_pvt - 1));
    abuse.victim.queue().push();
    abuse.must_refuse(what);
}

template <typename Spoil>
void bad_indirect(const char* what, Spoil spoil) {
    bad(what, [&](blkif_request_t& request) {
        abuse.victim.queue().ring.req_prod_pvt -= 1;
        abuse.victim.post(0, BLKIF_OP_READ, 8, 64, good, 16);
        spoil(reinterpret_cast<blkif_request_indirect_t&>(request));
    });
    abuse.check(abuse.victim.end_indirect(8), "%s: the indirect page is still in use", what);
}

void segments() {
    for (const unsigned count : {0u, 12u, 255u}) {
        bad("a number of segments", [=](auto& request) { request.nr_segments = static_cast<uint8_t>(count); });
    }
    bad("first sector behind the last",
        [](auto& request) { request.seg[0].first_sect = 7, request.seg[0].last_sect = 6; });
    for (const unsigned last : {8u, 64u, 255u}) {
        bad("sectors behind the page", [=](auto& request) { request.seg[1].last_sect = static_cast<uint8_t>(last); });
        bad("sectors only behind the page",
            [=](auto& request) { request.seg[1].first_sect = request.seg[1].last_sect = static_cast<uint8_t>(last); });
    }
}

void sectors() {
    const uint64_t end = abuse.victim.offers().sectors;
    for (const uint64_t sector : {end - 15, end, end + 1, ~0ul, ~0ul - 15, ~0ul - 16, 1ul << 63, (1ul << 55) - 8,
                                  1ul << 55, 0x8000000000000040ul}) {
        bad("read over the end", [=](auto& request) { request.sector_number = sector; });
        bad("write over the end", [=](auto& request) {
            request.operation = BLKIF_OP_WRITE;
            request.sector_number = sector;
        });
    }
}

void operations() {
    for (unsigned operation = 4; operation < 256; operation = operation < 16 ? operation + 1 : operation * 2 + 1) {
        if (operation != BLKIF_OP_DISCARD) {
            bad("an operation that is none",
                [=](auto& request) { request.operation = static_cast<uint8_t>(operation); });
        }
    }
    const uint64_t end = abuse.victim.offers().sectors;
    struct Range {
        uint64_t sector, count;
    };
    for (const Range range : {Range{end, 8}, Range{end - 8, 16}, Range{8, ~0ul}, Range{~0ul - 7, 16},
                              Range{1ul << 63, 1ul << 63}, Range{8, end}}) {
        bad("a discard over the end", [=](auto& request) {
            auto& discard = reinterpret_cast<blkif_request_discard_t&>(request);
            discard.operation = BLKIF_OP_DISCARD;
            discard.flag = 0;
            discard.id = 7;
            discard.sector_number = range.sector;
            discard.nr_sectors = range.count;
        });
    }
}

void indirect() {
    if (abuse.victim.offers().indirect_segments < 16) {
        return;
    }
    const unsigned most = abuse.victim.offers().indirect_segments;
    for (const unsigned count : {0u, most + 1, 4097u, 65535u}) {
        bad_indirect("a number of indirect segments",
                     [=](auto& request) { request.nr_segments = static_cast<uint16_t>(count); });
    }
    for (const unsigned operation : {4u, 5u, 6u, 255u}) {
        bad_indirect("an indirect operation",
                     [=](auto& request) { request.indirect_op = static_cast<uint8_t>(operation); });
    }
    bad_indirect("an indirect page that is not granted", [](auto& request) { request.indirect_grefs[0] = 0x7fffffff; });
    const grant_ref_t garbage = grant_page(abuse.buffer->bytes() + 15 * page_size, true);
    memset(abuse.buffer->bytes() + 15 * page_size, 0xff, page_size);
    bad_indirect("an indirect page full of ones", [=](auto& request) { request.indirect_grefs[0] = garbage; });
    abuse.check(grant_end(garbage), "the indirect page is still in use");
}

} // namespace

int guest_main() {
    if (abuse.start()) {
        static IoBuffer pages{16};
        pages.segments(good, 16, false);
        segments();
        sectors();
        operations();
        indirect();
        abuse.recover("all bad requests");
        abuse.check(pages.end_grants(), "a grant is still in use");
    }
    return abuse.finish();
}

} // namespace parapet::guest
