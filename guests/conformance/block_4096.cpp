// SPDX-License-Identifier: Apache-2.0
// A disk of 4096-byte sectors: offsets and lengths are multiples of it, still counted in units of 512.
// needs: disk 4M sector-size=4096
#include "guests/conformance/block_check.hpp"

#include <initializer_list>

namespace parapet::guest {

const char* const test_name = "block_4096";

void test() {
    static BlockDevice disk;
    if (!start_disk(disk)) {
        return;
    }
    static IoBuffer buffer{12};
    expect(disk.offers().sector_size == 4096, "sector-size is %u", disk.offers().sector_size);
    expect(disk.offers().sectors == (4u << 20) / sector_bytes, "%lu sectors", disk.offers().sectors);
    expect_written(disk, 64, 1, buffer, 1);
    expect_written(disk, 64, 2, buffer, 12);
    expect_original(disk, disk.offers().sectors / 2, buffer, 4);
    for (const uint64_t sector : {1ul, 4ul, 63ul}) {
        expect_error(transfer(disk, BLKIF_OP_READ, sector, buffer, 1), "read between two sectors");
        expect_error(transfer(disk, BLKIF_OP_WRITE, sector, buffer, 1), "write between two sectors");
    }
    blkif_request_segment part;
    buffer.segments(&part, 1, false);
    part.last_sect = 3;
    disk.post(0, BLKIF_OP_WRITE, 9, 64, &part, 1);
    disk.queue().push();
    blkif_response_t response{};
    expect(disk.queue().take(response), "no answer to half a sector");
    expect_error(response.status, "write of half a sector");
    expect(buffer.end_grants(), "a grant still in use");
    end_disk(disk);
}

} // namespace parapet::guest
