// SPDX-License-Identifier: Apache-2.0
// A guest's request while the backend has it. A queue makes as many as its ring has slots, once, and uses them again.
#pragma once

#include "backends/disk/disk_target.hpp"
#include "backends/disk/grant_cache.hpp"

#include <cstdint>
#include <vector>

namespace parapet::disk {

class BlockQueue;

struct BlockRequest final : TargetRequest {
    BlockQueue* queue = nullptr;
    std::uint64_t id = 0;            ///< the guest's
    std::uint8_t ring_operation = 0; ///< BLKIF_OP_*, for the response
    bool write_follows = false;      ///< a flush now, then the data as a durable write
    bool counted = false;            ///< against the disk's limits
    bool waiting = false;            ///< it failed, and is tried again
    std::uint64_t data_length = 0;   ///< of the write that follows
    std::vector<HeldGrant> grants;   ///< keeps its capacity from one use to the next, as does `vectors`
    std::vector<iovec> vectors;      ///< neighbours merged
    BlockRequest* next = nullptr;    ///< in the list that it is in

    void complete(int result) override;
};

} // namespace parapet::disk
