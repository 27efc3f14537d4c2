// SPDX-License-Identifier: Apache-2.0
// Discard: a hole that reads as zeroes, and nothing beside it.
// needs: disk 8M discard=on
#include "guests/conformance/block_check.hpp"

namespace parapet::guest {

const char* const test_name = "block_discard";

void test() {
    static BlockDevice disk;
    if (!start_disk(disk)) {
        return;
    }
    if (!disk.offers().discard) {
        skip("the file system below has no holes");
        return;
    }
    static IoBuffer buffer{8};
    constexpr uint64_t hole = 512, length = 256;
    expect_written(disk, hole - 64, 1, buffer, 8);
    expect_written(disk, hole, 2, buffer, 8);
    expect_written(disk, hole + length, 3, buffer, 8);
    expect_status(discard(disk, hole, length), BLKIF_RSP_OKAY, "discard");
    for (uint64_t sector = hole; sector < hole + length; sector += 64) {
        memset(buffer.bytes(), 0xff, 8 * page_size);
        expect_status(transfer(disk, BLKIF_OP_READ, sector, buffer, 8), BLKIF_RSP_OKAY, "read of the hole");
        uint64_t any = 0;
        for (unsigned i = 0; i < 8 * page_size / sizeof(uint64_t); ++i) {
            any |= buffer.words()[i];
        }
        expect(any == 0, "the hole at sector %lu has contents", sector);
    }
    expect_status(transfer(disk, BLKIF_OP_READ, hole - 64, buffer, 8), BLKIF_RSP_OKAY, "read before the hole");
    expect(buffer.check(hole - 64, 1, 8) < 0, "what is before the hole was changed");
    expect_status(transfer(disk, BLKIF_OP_READ, hole + length, buffer, 8), BLKIF_RSP_OKAY, "read behind the hole");
    expect(buffer.check(hole + length, 3, 8) < 0, "what is behind the hole was changed");
    expect_error(discard(disk, disk.offers().sectors - 8, 16), "discard over the end");
    expect_error(discard(disk, 8, ~0ul), "discard of everything and more");
    expect_written(disk, hole, 4, buffer, 8);
    end_disk(disk);
}

} // namespace parapet::guest
