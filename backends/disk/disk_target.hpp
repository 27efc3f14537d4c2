// SPDX-License-Identifier: Apache-2.0
// Where a virtual disk's bytes live: a raw file or block device (raw_target), or an NBD server behind a helper process
// (nbd_target). On the I/O thread only.
#pragma once

#include "iorings/grants/host_grants.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <sys/uio.h>
#include <vector>

namespace parapet::disk {

enum class Operation : std::uint8_t { read, write, flush, discard, write_zeroes };

/// An error of reads and writes: the image was truncated, and ends before them. No file system's own.
inline constexpr int beyond_end = -ESPIPE;

/// Adds a piece of memory to those of a transfer. True: it follows the last one there, and has become part of it.
inline bool add_piece(std::vector<iovec>& pieces, iovec piece) {
    if (!pieces.empty()) {
        iovec& last = pieces.back();
        if (static_cast<std::byte*>(last.iov_base) + last.iov_len == piece.iov_base) {
            last.iov_len += piece.iov_len;
            return true;
        }
    }
    pieces.push_back(piece);
    return false;
}

/// One operation on a target. The owner keeps it, and the memory of its segments, until `complete` is called.
struct TargetRequest {
    Operation operation = Operation::read;
    bool fua = false;         ///< write: durable before it is complete
    std::uint64_t offset = 0; ///< bytes; a multiple of the logical block, inside the disk
    std::uint64_t length = 0; ///< bytes, of all segments together for read and write
    std::span<const iovec> segments;

    /// 0, or -errno. On the I/O thread; never from inside submit().
    virtual void complete(int result) = 0;

protected:
    ~TargetRequest() = default;
};

struct Geometry {
    std::uint64_t bytes = 0;
    std::uint32_t logical_block = 512; ///< 512 or 4096: alignment of offsets and lengths
    std::uint32_t physical_block = 512;
    bool read_only = false;
    bool flush = true; ///< there is something volatile to flush
    bool discard = false;
    bool write_zeroes = false;
    std::uint32_t discard_granularity = 0; ///< bytes
};

class DiskTarget {
public:
    virtual ~DiskTarget() = default;
    [[nodiscard]] virtual const Geometry& geometry() const = 0;
    virtual void submit(TargetRequest& request) = 0;
    /// Nothing will be submitted any more, and what waits for somebody else's machine ends with an error at once. Not
    /// what the kernel has of the guest's memory.
    virtual void abandon() {}
    /// Calls `changed` when the geometry changes (a file that was grown, a server that came back).
    // NOLINTNEXTLINE(performance-unnecessary-value-param): who overrides it keeps it
    virtual void watch(std::function<void()> /*changed*/) {}
};

} // namespace parapet::disk
