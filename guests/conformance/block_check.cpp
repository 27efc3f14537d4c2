// SPDX-License-Identifier: Apache-2.0
#include "guests/conformance/block_check.hpp"

namespace parapet::guest {

namespace {

unsigned grants_at_start = 0;

} // namespace

bool start_disk(BlockDevice& disk, const BlockOptions& options, unsigned grant_version) {
    unsigned ids[4];
    if (xenbus_devices("vbd", ids, 4) == 0) {
        skip("no disk");
        return false;
    }
    if (!expect_result(grants_init(grant_version), 0, "grant table")) {
        return false;
    }
    grants_at_start = grants_free();
    if (!expect(disk.open(xvda), "xvda's backend does not wait for us: state %u", disk.bus.backend_state())) {
        return false;
    }
    return expect(disk.connect(options), "xvda did not connect: state %u", disk.bus.backend_state());
}

void end_disk(BlockDevice& disk) {
    expect(disk.close(), "closing: backend state %u, or a ring is still in use", disk.bus.backend_state());
    expect(grants_free() == grants_at_start, "%u grants free, were %u", grants_free(), grants_at_start);
}

bool expect_status(int got, int wanted, const char* what) {
    return expect(got == wanted, "%s: status %d, want %d", what, got, wanted);
}

bool expect_error(int got, const char* what) {
    return expect(got == BLKIF_RSP_ERROR || got == BLKIF_RSP_EOPNOTSUPP, "%s: status %d, want an error", what, got);
}

bool expect_written(BlockDevice& disk, uint64_t sector, unsigned seed, IoBuffer& buffer, unsigned count,
                    unsigned queue) {
    const char* wrong = write_and_check(disk, sector, seed, buffer, count, queue);
    return expect(wrong == nullptr, "%s", wrong == nullptr ? "" : wrong);
}

bool expect_original(BlockDevice& disk, uint64_t sector, IoBuffer& buffer, unsigned count) {
    memset(buffer.bytes(), 0, count * page_size);
    if (!expect_status(transfer(disk, BLKIF_OP_READ, sector, buffer, count), BLKIF_RSP_OKAY, "read of the original")) {
        return false;
    }
    const char* wrong = check_original(buffer, sector, count);
    return expect(wrong == nullptr, "%s", wrong == nullptr ? "" : wrong);
}

} // namespace parapet::guest
