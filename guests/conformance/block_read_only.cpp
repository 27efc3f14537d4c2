// SPDX-License-Identifier: Apache-2.0
// A read-only disk says so, reads, and refuses whatever would change it.
// needs: disk 4M access=ro
#include "guests/conformance/block_check.hpp"

namespace parapet::guest {

const char* const test_name = "block_read_only";

void test() {
    static BlockDevice disk;
    if (!start_disk(disk)) {
        return;
    }
    static IoBuffer buffer{2};
    char mode[8];
    expect(disk.offers().read_only, "`info` does not say read-only");
    expect(disk.bus.backend_text("mode", mode, sizeof(mode)) && strcmp(mode, "r") == 0, "`mode` is '%s', not r", mode);
    expect_original(disk, 16, buffer, 2);
    buffer.fill(16, 1, 2);
    expect_error(transfer(disk, BLKIF_OP_WRITE, 16, buffer, 2), "write");
    expect_error(transfer(disk, BLKIF_OP_WRITE_BARRIER, 16, buffer, 2), "barrier with data");
    expect_error(discard(disk, 16, 64), "discard");
    expect_original(disk, 16, buffer, 2);
    end_disk(disk);
}

} // namespace parapet::guest
