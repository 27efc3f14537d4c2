// SPDX-License-Identifier: Apache-2.0
// A frontend that comes and goes: in order, with requests under way, and as one that knows nothing of the one before
// (kexec: straight to Initialising). Each time all grants come back.
// needs: disk 8M persistent=1
// needs: disk 4M
#include "guests/conformance/block_check.hpp"

namespace parapet::guest {

const char* const test_name = "block_reconnect";

namespace {

BlockDevice disk, other;

void in_order(IoBuffer& buffer) {
    for (unsigned round = 0; round < 8; ++round) {
        const BlockOptions options{.ring_pages = 1 + round % 2, .persistent = round % 4 == 3};
        if (!expect(disk.reconnect(options), "round %u: state %u", round, disk.bus.backend_state())) {
            return;
        }
        if (!options.persistent) {
            expect_written(disk, 64, round, buffer, 4);
            continue;
        }
        expect_status(transfer(disk, BLKIF_OP_READ, 64, buffer, 4, 0, true), BLKIF_RSP_OKAY,
                      "read by persistent grants");
        expect(disk.reconnect(), "round %u: state %u", round, disk.bus.backend_state());
        expect(buffer.end_grants(), "a persistent grant outlives the connection");
    }
}

/// What is under way at Closed ends without an answer, or with one; but afterwards nobody uses the memory.
void under_way(IoBuffer& buffer) {
    blkif_request_segment segments[11];
    buffer.segments(segments, 11, false);
    for (unsigned i = 0; i < 16; ++i) {
        disk.post(0, BLKIF_OP_READ, i, 64 + 8 * i, segments, 11);
    }
    disk.queue().push();
    expect(disk.close(), "closing with requests under way: state %u", disk.bus.backend_state());
    expect(buffer.end_grants(), "the backend uses a frame of a closed connection");
    expect(disk.connect(), "connecting after that: state %u", disk.bus.backend_state());
    expect_written(disk, 64, 51, buffer, 4);
}

void without_a_word() {
    expect(disk.bus.set_state(XenbusStateInitialising), "writing the state");
    expect(disk.bus.wait_backend(state_bit(XenbusStateInitWait)) != 0,
           "the backend does not start anew with a frontend that does: state %u", disk.bus.backend_state());
}

} // namespace

void test() {
    if (!start_disk(disk)) {
        return;
    }
    static IoBuffer buffer{11};
    in_order(buffer);
    under_way(buffer);
    without_a_word();
    expect(disk.reconnect({.ring_pages = 2}), "after a restart without closing");
    expect_written(disk, 64, 61, buffer, 4);
    if (expect(other.open(xvdb) && other.connect(), "xvdb: state %u", other.bus.backend_state())) {
        expect(disk.close(), "closing xvda");
        expect_written(other, 64, 71, buffer, 4);
        expect(disk.connect(), "xvda again");
        expect_written(disk, 64, 72, buffer, 4);
        expect(other.close(), "closing xvdb");
    }
    end_disk(disk);
}

} // namespace parapet::guest
