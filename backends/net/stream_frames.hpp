// SPDX-License-Identifier: Apache-2.0
// Frames in a byte stream, each behind its length in 4 bytes, big-endian (QEMU's socket protocol, which passt speaks):
// what was received and not yet taken.
#pragma once

#include "backends/net/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace parapet::net {

class StreamFrames {
public:
    static constexpr std::size_t length_bytes = 4;

    explicit StreamFrames(std::size_t capacity = std::size_t{256} << 10) : buffer_(capacity) {}

    /// Where the next bytes of the stream go; there is always room unless a whole frame is at hand.
    [[nodiscard]] std::span<std::byte> room();
    void received(std::size_t bytes) { end_ += bytes; }

    enum class Next { incomplete, frame, broken };
    /// broken: a length that no frame has. The stream is of no use from then on.
    [[nodiscard]] Next next() const;
    /// Precondition: next() == frame. Valid until room().
    [[nodiscard]] std::span<const std::byte> take();

private:
    [[nodiscard]] std::size_t length() const;

    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0, end_ = 0;
};

/// Copies `from` into the parts [1, count): what fits.
std::size_t scatter(std::span<const std::byte> from, InFrame& to);

} // namespace parapet::net
