// SPDX-License-Identifier: Apache-2.0
// One ring of one page: where data goes, parts of pages, orders, a full ring answered in any order, indices that wrap.
// needs: disk 8M
#include "guests/conformance/block_check.hpp"

#include <initializer_list>

namespace parapet::guest {

const char* const test_name = "block_io";

namespace {

BlockDevice disk;

void placement(IoBuffer& buffer) {
    const uint64_t half = disk.offers().sectors / 2;
    expect_original(disk, half, buffer, 4);
    expect_original(disk, disk.offers().sectors - 8, buffer, 1);
    for (const unsigned count : {1u, 2u, 11u}) {
        expect_written(disk, 64, count, buffer, count);
    }
    expect_written(disk, 3, 5, buffer, 3); // neither end on a page's boundary of the disk
    expect_original(disk, 64 + 88, buffer, 2);
    expect_written(disk, half - 8, 7, buffer, 1);
    expect_original(disk, half, buffer, 1);
}

/// Segments that are parts of their pages: the bytes around them must stay, in memory and on the disk.
void partial(IoBuffer& buffer) {
    constexpr uint64_t sector = 400;
    expect_written(disk, sector, 21, buffer, 2);
    memset(buffer.bytes(), 0xee, 3 * page_size);
    blkif_request_segment parts[3];
    buffer.segments(parts, 3, false);
    parts[0].first_sect = 3, parts[0].last_sect = 5;
    parts[1].first_sect = parts[1].last_sect = 0;
    parts[2].first_sect = parts[2].last_sect = 7;
    disk.post(0, BLKIF_OP_READ, 77, sector + 1, parts, 3);
    disk.queue().push();
    blkif_response_t response{};
    expect(disk.queue().take(response) && response.id == 77 && response.status == BLKIF_RSP_OKAY,
           "read into parts of pages: id %lu, status %d", response.id, response.status);
    expect(buffer.end_grants(), "a grant still in use after the answer");
    static unsigned char read[5 * sector_bytes];
    for (unsigned at = 0, sector_in = 0; sector_in < 3 * page_sectors; ++sector_in) {
        const bool ours = (sector_in >= 3 && sector_in <= 5) || sector_in == 8 || sector_in == 23;
        unsigned char* bytes = buffer.bytes() + sector_in * sector_bytes;
        if (ours) {
            memcpy(read + at, bytes, sector_bytes);
            at += sector_bytes;
            continue;
        }
        bool kept = true;
        for (unsigned i = 0; i < sector_bytes; ++i) {
            kept = kept && bytes[i] == 0xee;
        }
        expect(kept, "sector %u of the buffer was written", sector_in);
    }
    buffer.fill(sector, 21, 2);
    expect(memcmp(read, buffer.bytes() + sector_bytes, sizeof(read)) == 0, "what the parts got is not the disk's");
}

void ends(IoBuffer& buffer) {
    const uint64_t sectors = disk.offers().sectors;
    expect_error(transfer(disk, BLKIF_OP_READ, sectors - 7, buffer, 1), "read over the end");
    expect_error(transfer(disk, BLKIF_OP_WRITE, sectors, buffer, 1), "write behind the end");
    expect_error(transfer(disk, BLKIF_OP_READ, ~0ul - 7, buffer, 1), "read at the end of all numbers");
}

void orders(IoBuffer& buffer) {
    if (disk.offers().flush) {
        expect_status(order(disk, BLKIF_OP_FLUSH_DISKCACHE), BLKIF_RSP_OKAY, "flush");
    }
    if (disk.offers().barrier) {
        buffer.fill(640, 31, 2);
        expect_status(transfer(disk, BLKIF_OP_WRITE_BARRIER, 640, buffer, 2), BLKIF_RSP_OKAY, "barrier with data");
        memset(buffer.bytes(), 0, 2 * page_size);
        expect_status(transfer(disk, BLKIF_OP_READ, 640, buffer, 2), BLKIF_RSP_OKAY, "read of it");
        expect(buffer.check(640, 31, 2) < 0, "a barrier's data is not there");
    }
    print("info: flush %d barrier %d\n", disk.offers().flush, disk.offers().barrier);
}

/// Twice as many requests as slots, of mixed length; each answered once.
void full_ring() {
    constexpr unsigned total = 64;
    static IoBuffer buffer{2};
    blkif_request_segment segment[2];
    buffer.segments(segment, 2, false);
    unsigned posted = 0, answered = 0, overtaken = 0;
    bool seen[total] = {};
    while (answered < total) {
        while (posted < total && disk.queue().free_slots() > 0) {
            disk.post(0, posted % 8 == 7 ? BLKIF_OP_WRITE : BLKIF_OP_READ, posted, 1024 + posted % 16, segment,
                      1 + posted % 2);
            ++posted;
        }
        disk.queue().push();
        blkif_response_t response{};
        if (!expect(disk.queue().take(response), "%u of %u requests answered", answered, total)) {
            return;
        }
        if (!expect(response.id < total && !seen[response.id] && response.status == BLKIF_RSP_OKAY,
                    "answer to %lu, status %d, twice or unasked", response.id, response.status)) {
            return;
        }
        overtaken += response.id != answered ? 1 : 0;
        seen[response.id] = true;
        ++answered;
    }
    print("info: %u answers out of order\n", overtaken);
    expect(buffer.end_grants(), "a grant still in use");
}

} // namespace

void test() {
    if (!start_disk(disk)) {
        return;
    }
    static IoBuffer buffer{16};
    print("info: %lu sectors of 512 bytes\n", disk.offers().sectors);
    placement(buffer);
    partial(buffer);
    ends(buffer);
    orders(buffer);
    full_ring();
    expect(disk.reconnect({.first_index = 0xfffffff0}), "indices that start before the wrap");
    full_ring();
    expect_written(disk, 64, 41, buffer, 4);
    expect_original(disk, disk.offers().sectors / 2, buffer, 16);
    end_disk(disk);
}

} // namespace parapet::guest
