// SPDX-License-Identifier: Apache-2.0
// A minimal blkfront: any number of queues and ring pages, direct and indirect segments; the caller fills requests and
// waits for responses, in any order. Sectors are 512 bytes throughout (xen/io/blkif.h).
#pragma once

#include "guests/lib/abi.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/xenbus.hpp"

namespace parapet::guest {

inline constexpr unsigned sector_bytes = 512;
inline constexpr unsigned page_sectors = 8;
inline constexpr unsigned most_block_queues = 4;
inline constexpr unsigned most_ring_pages = 8;
inline constexpr unsigned most_indirect = 64; ///< segments that post() takes

/// What the frontend asks for. Beyond what the backend offers it is still asked for: see block_offers().
struct BlockOptions {
    unsigned queues = 1;
    unsigned ring_pages = 1;
    bool persistent = false;
    RING_IDX first_index = 0; ///< where all ring indices start
};

struct BlockOffers {
    uint64_t sectors;
    unsigned sector_size;
    bool flush, barrier, discard, persistent, read_only;
    unsigned indirect_segments;
    unsigned queues;
    unsigned ring_pages;
};

class BlockQueue {
public:
    blkif_front_ring_t ring;
    evtchn_port_t port;

    [[nodiscard]] unsigned free_slots() const;
    /// The next slot, zeroed; push() shows all such to the backend.
    blkif_request_t& next();
    void push();
    /// The next response. False: none within the time.
    bool take(blkif_response_t& response, unsigned milliseconds = 5'000);
};

class BlockDevice {
public:
    /// Finds device/vbd/<id> and waits for its backend.
    bool open(unsigned id);
    [[nodiscard]] const BlockOffers& offers() const { return offers_; }
    /// Makes the rings and waits for Connected.
    bool connect(const BlockOptions& options = {});
    /// The steps of connect(): rings, ports and nodes, but no new state.
    bool publish(const BlockOptions& options);
    /// Closes down and has the backend wait for us again; the grants of the rings come back. False: the backend hangs,
    /// or does not let go of the rings.
    bool close();
    bool reconnect(const BlockOptions& options = {}) { return close() && connect(options); }

    /// One request of data in queue `queue`: by indirect segments where there are more than 11. Call push() afterwards.
    void post(unsigned queue, uint8_t operation, uint64_t id, uint64_t sector, const blkif_request_segment* segments,
              unsigned count);
    /// The grant of the page of indirect segments that post() used for `id` last.
    bool end_indirect(uint64_t id);

    BlockQueue& queue(unsigned index = 0) { return queues_[index]; }
    [[nodiscard]] unsigned queues() const { return used_queues_; }
    Xenbus bus;
    unsigned id = 0;

private:
    bool publish_queue(unsigned index, const BlockOptions& options, const char* prefix);
    void read_offers();

    static constexpr unsigned indirect_slots = 32; ///< requests with indirect segments at a time
    BlockOffers offers_{};
    BlockQueue queues_[most_block_queues]{};
    void* pages_[most_block_queues]{};
    grant_ref_t ring_refs_[most_block_queues][most_ring_pages]{};
    void* indirect_pages_[indirect_slots]{};
    grant_ref_t indirect_refs_[indirect_slots]{};
    unsigned used_queues_ = 0;
};

} // namespace parapet::guest
