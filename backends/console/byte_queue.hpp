// SPDX-License-Identifier: Apache-2.0
// A bounded queue of bytes, filled and drained in place.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

namespace parapet::console {

class ByteQueue {
public:
    explicit ByteQueue(std::size_t capacity)
        : bytes_{std::make_unique_for_overwrite<char[]>(capacity)}, capacity_{capacity} {}

    [[nodiscard]] std::span<const char> data() const { return {bytes_.get() + begin_, end_ - begin_}; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }

    /// Room to write into; empty when the queue is full. Invalidates earlier spans.
    std::span<char> room() {
        if (begin_ != 0 && capacity_ - end_ < capacity_ / 2) {
            std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        return {bytes_.get() + end_, capacity_ - end_};
    }

    /// `count` bytes of room() have been filled.
    void commit(std::size_t count) { end_ += count; }

    /// `count` bytes of data() have been used.
    void consume(std::size_t count) {
        begin_ += count;
        if (begin_ == end_) {
            begin_ = end_ = 0;
        }
    }

    void clear() { begin_ = end_ = 0; }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t capacity_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace parapet::console
