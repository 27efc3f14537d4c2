// SPDX-License-Identifier: Apache-2.0
// Every combination of persistent grants, pages in a ring, queues and indirect segments, each in its own connection.
// needs: disk 8M persistent=1
#include "guests/conformance/block_check.hpp"

#include <initializer_list>

namespace parapet::guest {

const char* const test_name = "block_features";

namespace {

BlockDevice disk;

/// The same pages again and again under grants that stay: by and by all of them are known to the backend.
void persistent_rounds(IoBuffer& buffer, unsigned queue, unsigned seed) {
    for (const unsigned count : {1u, 8u, 32u, 8u}) {
        const uint64_t sector = 2048 + queue * 512;
        buffer.fill(sector, seed + count, count);
        expect_status(transfer(disk, BLKIF_OP_WRITE, sector, buffer, count, queue, true), BLKIF_RSP_OKAY,
                      "write by persistent grants");
        memset(buffer.bytes(), 0, count * page_size);
        expect_status(transfer(disk, BLKIF_OP_READ, sector, buffer, count, queue, true), BLKIF_RSP_OKAY,
                      "read by persistent grants");
        const long wrong = buffer.check(sector, seed + count, count);
        expect(wrong < 0, "persistent grants: wrong at byte %ld of %u pages", wrong, count);
    }
}

void combination(const BlockOptions& options, IoBuffer& buffer, unsigned seed) {
    if (!expect(disk.reconnect(options), "persistent %d, %u ring pages, %u queues: state %u", options.persistent,
                options.ring_pages, options.queues, disk.bus.backend_state())) {
        return;
    }
    for (unsigned queue = 0; queue < options.queues; ++queue) {
        if (options.persistent) {
            persistent_rounds(buffer, queue, seed);
            continue;
        }
        expect_written(disk, 64 + 256 * queue, seed, buffer, 3, queue);
        expect_written(disk, 64 + 256 * queue, seed + 1, buffer, disk.offers().indirect_segments >= 32 ? 32 : 11,
                       queue);
    }
}

} // namespace

void test() {
    if (!start_disk(disk)) {
        return;
    }
    static IoBuffer buffer{32};
    const BlockOffers offers = disk.offers();
    print("info: persistent %d, %u indirect segments, %u queues, %u ring pages\n", offers.persistent,
          offers.indirect_segments, offers.queues, offers.ring_pages);
    unsigned seed = 100;
    for (const bool persistent : {false, true}) {
        for (const unsigned pages : {1u, 2u, 8u}) {
            for (const unsigned queues : {1u, 2u}) {
                if ((persistent && !offers.persistent) || pages > offers.ring_pages || queues > offers.queues) {
                    continue;
                }
                combination({.queues = queues, .ring_pages = pages, .persistent = persistent}, buffer, seed);
                seed += 50;
            }
        }
    }
    expect(disk.close(), "closing: state %u", disk.bus.backend_state());
    expect(buffer.end_grants(), "a persistent grant outlives the connection");
    expect(seed >= 100 + 50 * 3, "hardly a combination is offered");
}

} // namespace parapet::guest
