// SPDX-License-Identifier: Apache-2.0
// Whole transfers on a BlockDevice: a buffer whose pages are granted for the occasion (or once, for persistent grants),
// one request, its answer.
#pragma once

#include "guests/lib/block.hpp"
#include "guests/lib/grants.hpp"

namespace parapet::guest {

/// Status of a transfer beside BLKIF_RSP_*.
inline constexpr int no_answer = -100, wrong_answer = -101, grant_kept = -102;

class IoBuffer {
public:
    explicit IoBuffer(unsigned pages);
    [[nodiscard]] unsigned pages() const { return pages_; }
    [[nodiscard]] unsigned char* bytes() { return bytes_; }
    [[nodiscard]] uint64_t* words() { return reinterpret_cast<uint64_t*>(bytes_); }
    /// Fills `count` pages with what belongs to `sector` and `seed`, or checks them; the offset of the first wrong
    /// byte, or -1.
    void fill(uint64_t sector, unsigned seed, unsigned count);
    [[nodiscard]] long check(uint64_t sector, unsigned seed, unsigned count);

    /// Segments of whole pages; their grants are made where there are none.
    void segments(blkif_request_segment* to, unsigned count, bool read_only);
    /// False where the backend still uses one.
    bool end_grants();

private:
    unsigned pages_;
    unsigned char* bytes_;
    grant_ref_t refs_[most_indirect]{};
};

/// One request, alone in its queue, of `count` whole pages; its status. Grants end with it unless `keep_grants`.
int transfer(BlockDevice& disk, uint8_t operation, uint64_t sector, IoBuffer& buffer, unsigned count,
             unsigned queue = 0, bool keep_grants = false);
/// A flush or barrier without data.
int order(BlockDevice& disk, uint8_t operation, unsigned queue = 0);
int discard(BlockDevice& disk, uint64_t sector, uint64_t count);
/// Writes `count` pages at `sector` and reads them back. Null, or what went wrong.
const char* write_and_check(BlockDevice& disk, uint64_t sector, unsigned seed, IoBuffer& buffer, unsigned count,
                            unsigned queue = 0);

/// What guests/check has put on every disk: 16 bytes at a time, their number in decimal (15 digits, newline). Null, or
/// what is wrong with `count` pages that were read from `sector`.
const char* check_original(IoBuffer& buffer, uint64_t sector, unsigned count);

} // namespace parapet::guest
