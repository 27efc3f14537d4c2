// SPDX-License-Identifier: Apache-2.0
// Guest memory as registered buffers of an io_uring: pinned once, then used by number, so that an operation need not
// look its pages up. Registered by pieces, each when it is first used for I/O: what the guest never uses is not pinned,
// and a frame that goes back to the host takes its piece out of the table (the ring would go on using the old page).
#pragma once

#include "backends/io/counter.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <liburing.h>
#include <memory>
#include <span>

namespace parapet::io {

/// Of the I/O thread, but for any_registered() and uses().
class RegisteredMemory {
public:
    explicit RegisteredMemory(io_uring* ring) : ring_{ring} {}

    void begin(std::byte* base, std::uint64_t bytes);
    void end();

    /// The buffer that holds [data, data + length), or -1: not of the guest's, or in two pieces, or the host's limit of
    /// locked memory is reached.
    [[nodiscard]] int index_of(const void* data, std::size_t length);

    /// Their memory changes, or has changed, under the guest's addresses.
    void forget(std::span<const std::byte* const> pages);
    /// Any thread.
    [[nodiscard]] bool any_registered(std::span<const std::byte* const> pages) const;
    [[nodiscard]] std::uint64_t uses() const { return uses_.value(); }

private:
    bool register_piece(std::uint64_t piece);
    void set_piece(std::uint64_t piece, void* start, std::size_t length);
    [[nodiscard]] std::uint64_t piece_of(const void* data) const {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(data) - base_) >> shift_;
    }
    [[nodiscard]] bool inside(const void* data, std::size_t length) const;

    io_uring* ring_;
    std::byte* base_ = nullptr;
    std::uint64_t bytes_ = 0;
    unsigned shift_ = 0; ///< a piece is 2^shift bytes
    std::uint64_t pieces_ = 0;
    std::unique_ptr<std::atomic<bool>[]> registered_;
    bool refused_ = false; ///< the host allows no more
    Counter uses_;
};

} // namespace parapet::io
