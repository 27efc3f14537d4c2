// SPDX-License-Identifier: Apache-2.0
#include "backends/net/stream_frames.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::net {

std::span<std::byte> StreamFrames::room() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (buffer_.size() - begin_ < length_bytes + most_frame_bytes) {
        std::memmove(buffer_.data(), &buffer_[begin_], end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    return std::span{buffer_}.subspan(end_);
}

std::size_t StreamFrames::length() const {
    std::size_t value = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) {
        value = value << 8 | std::to_integer<std::size_t>(buffer_[begin_ + i]);
    }
    return value;
}

StreamFrames::Next StreamFrames::next() const {
    if (end_ - begin_ < length_bytes) {
        return Next::incomplete;
    }
    const std::size_t bytes = length();
    if (bytes < ethernet_header || bytes > most_frame_bytes) {
        return Next::broken;
    }
    return end_ - begin_ < length_bytes + bytes ? Next::incomplete : Next::frame;
}

std::span<const std::byte> StreamFrames::take() {
    const std::size_t bytes = length();
    const auto frame = std::span<const std::byte>{buffer_}.subspan(begin_ + length_bytes, bytes);
    begin_ += length_bytes + bytes;
    return frame;
}

std::size_t scatter(std::span<const std::byte> from, InFrame& to) {
    std::size_t done = 0;
    for (unsigned i = 1; i < to.count && done < from.size(); ++i) {
        const std::size_t part = std::min(to.parts[i].iov_len, from.size() - done);
        std::memcpy(to.parts[i].iov_base, &from[done], part);
        done += part;
    }
    return done;
}

} // namespace parapet::net
