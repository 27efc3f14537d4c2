// SPDX-License-Identifier: Apache-2.0
// A guest that owns its nucleus (back_door.cpp) and has a disk and two network interfaces. First it writes nonsense
// into all that the vmm shares with it, taking it back each time: the vmm must go on and serve it afterwards. Then it
// does so for good, console and store included, until it is ended. On the command line: seed=N (1), visits=N (2000).
#include "guests/hostile/net_abuse.hpp"
#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/shutdown.hpp"
#include "guests/lib/time.hpp"
#include "tests/owned_nucleus/scribbles.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned buffer_pages = 8;
constexpr uint64_t grant_table_va = 0x30000000000; // guests/lib/grants.cpp

NetAbuse abuse{"owned_nucleus"};
Visit visit;
TxFrame* frame = nullptr; ///< not `abuse`'s, which must stay in order
blkif_request_segment segments[buffer_pages];

/// Requests that are under way while everything changes. Their answers do not matter.
void post_requests() {
    BlockQueue& disk = abuse.disk.queue();
    while (disk.free_slots() > 24) {
        const auto operation = static_cast<uint8_t>(visit.random.one_in(2) ? BLKIF_OP_READ : BLKIF_OP_WRITE);
        abuse.disk.post(0, operation, visit.random.next(), visit.random.below(4096), segments, buffer_pages);
    }
    disk.push();
    NetQueue& net = abuse.victim.queue();
    for (unsigned i = 0; i < 4 && RING_FREE_REQUESTS(&net.tx) > 0; ++i) {
        netif_tx_request_t& request = net.next_tx();
        request.gref = frame->refs[0];
        request.size = static_cast<uint16_t>(frame->size);
        request.id = static_cast<uint16_t>(i);
    }
    net.push_tx();
}

void take_answers() {
    blkif_response_t disk{};
    netif_tx_response_t net{};
    static unsigned char drop[most_frame];
    FrameFlags flags;
    for (unsigned i = 0; i < 64 && abuse.disk.queue().take(disk, 0); ++i) {
    }
    for (unsigned i = 0; i < 64 && abuse.victim.queue().take_tx(net, 0); ++i) {
    }
    for (unsigned i = 0; i < 64 && abuse.partner.receive(drop, sizeof(drop), flags, 0) > 0; ++i) {
    }
}

/// Closes and connects. Grants may be left marked, where the vmm found nonsense when it wanted to take its marks away.
template <typename Device>
bool again(Device& device) {
    (void)device.close();
    return device.connect();
}

/// Everything works again, or is found to be broken.
bool recover(uint64_t at) {
    return abuse.check(again(abuse.disk), "visit %lu: xvda does not come back", at) &&
           abuse.check(again(abuse.partner), "visit %lu: vif 1 does not come back", at) &&
           abuse.check(again(abuse.victim), "visit %lu: vif 0 does not come back", at) &&
           (abuse.recover("a visit"), true);
}

void collect(IoBuffer& buffer) {
    buffer.segments(segments, buffer_pages, false);
    for (unsigned i = 0; i < buffer_pages; ++i) {
        visit.spare_mfns[visit.spare_count++] = virt_to_mfn(buffer.bytes() + i * page_size);
    }
    for (unsigned i = 0; i < 4; ++i) {
        visit.spare_mfns[visit.spare_count++] = virt_to_mfn(alloc_page());
    }
    add_nucleus_regions(visit);
    // Not those of the rings: the vmm clears marks in them, so that not all could be taken back.
    for (const auto& segment : segments) {
        visit.add(grant_table_va + segment.gref * sizeof(grant_entry_v1_t), sizeof(grant_entry_v1_t));
        visit.favour(segment.gref);
    }
    visit.add(abuse.disk.queue().ring.sring, page_size);
    visit.add(abuse.victim.queue().tx.sring, page_size);
    visit.add(abuse.victim.queue().rx.sring, page_size);
    visit.add(abuse.partner.queue().rx.sring, page_size);
    for (unsigned port = 0; port < 12; ++port) {
        visit.favour(port);
    }
    visit.favour(frame->refs[0]);
}

} // namespace

int guest_main() {
    visit.random = Random{command_line_number("seed", 1)};
    if (!abuse.start()) {
        return abuse.finish();
    }
    static IoBuffer buffer{buffer_pages};
    static TxFrame to_send;
    frame = &to_send;
    make_frame(*frame, abuse.partner.offers().mac, abuse.victim.offers().mac, {}, 400, 1);
    frame->grant();
    collect(buffer);
    const uint64_t visits = command_line_number("visits", 2'000);
    for (uint64_t at = 0; at < visits; ++at) {
        post_requests();
        scribble(visit);
        take_answers();
        if (at % 256 == 255 && !recover(at)) {
            break;
        }
    }
    print("%lu writes, %lu requests, %lu doorbells\n", visit.writes, visit.requests, visit.doorbells);
    const int result = abuse.finish();
    if (result != 0) {
        return result;
    }
    // And now for good: what the vmm remembers, console and store too; and at last requests that end the domain.
    print("for good\n");
    console_drain(1'000);
    add_grant_information(visit);
    visit.add(grant_table_va, 128 * sizeof(grant_entry_v1_t));
    visit.add(mfn_to_virt(start_info().console.domU.mfn), page_size);
    visit.for_good = true;
    const uint64_t end = now_ns() + 10'000'000'000;
    for (uint64_t at = 0; now_ns() < end; ++at) {
        post_requests();
        scribble(visit);
        take_answers();
        if (at % 32 == 31) {
            (void)again(abuse.disk);
            (void)again(abuse.victim);
            (void)again(abuse.partner);
        }
    }
    visit.add(mfn_to_virt(start_info().store_mfn), page_size);
    visit.may_end = true;
    for (;;) {
        post_requests();
        scribble(visit);
    }
}

} // namespace parapet::guest
