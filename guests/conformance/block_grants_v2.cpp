// SPDX-License-Identifier: Apache-2.0
// The same disk through grants of version 2, whole pages and parts of pages.
// needs: disk 4M persistent=1
#include "guests/conformance/block_check.hpp"

namespace parapet::guest {

const char* const test_name = "block_grants_v2";

namespace {

BlockDevice disk;

int read_by(grant_ref_t ref, uint8_t first, uint8_t last) {
    const blkif_request_segment segment{ref, first, last};
    disk.post(0, BLKIF_OP_READ, 5, disk.offers().sectors / 2, &segment, 1);
    disk.queue().push();
    blkif_response_t response{};
    return disk.queue().take(response) ? response.status : no_answer;
}

/// Two sectors of a page are granted: reads inside are fine, outside they are not.
void parts(IoBuffer& buffer) {
    memset(buffer.bytes(), 0xdd, page_size);
    const grant_ref_t ref = grant_part(virt_to_mfn(buffer.bytes()), 1024, 1024, false);
    expect_status(read_by(ref, 2, 3), BLKIF_RSP_OKAY, "read into the granted part");
    expect_error(read_by(ref, 1, 2), "read that begins before it");
    expect_error(read_by(ref, 3, 4), "read that ends behind it");
    expect_error(read_by(ref, 0, 7), "read into the whole page");
    expect(buffer.bytes()[1023] == 0xdd && buffer.bytes()[2048] == 0xdd, "bytes outside the grant were written");
    expect(buffer.bytes()[1024] != 0xdd, "the granted bytes were not written");
    expect(grant_end(ref), "the grant is still in use");
}

} // namespace

void test() {
    gnttab_set_version two{2};
    if (hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, &two, 1) != 0) {
        skip("grant tables of version 1 only");
        return;
    }
    if (!start_disk(disk, {.ring_pages = 2}, 2)) {
        return;
    }
    static IoBuffer buffer{32};
    expect_written(disk, 64, 1, buffer, 4);
    if (disk.offers().indirect_segments >= 32) {
        expect_written(disk, 64, 2, buffer, 32);
    }
    if (disk.offers().persistent && expect(disk.reconnect({.persistent = true}), "persistent grants")) {
        for (unsigned round = 0; round < 3; ++round) {
            expect_status(transfer(disk, BLKIF_OP_READ, 64, buffer, 8, 0, true), BLKIF_RSP_OKAY, "persistent read");
        }
        expect(disk.close(), "closing");
        expect(buffer.end_grants(), "a persistent grant outlives the connection");
        expect(disk.connect(), "connecting again");
    }
    parts(buffer);
    const grant_ref_t read_only = grant_page(buffer.bytes(), true);
    expect_error(read_by(read_only, 0, 7), "read into a read-only grant");
    expect(grant_end(read_only), "the read-only grant is still in use");
    end_disk(disk);
}

} // namespace parapet::guest
