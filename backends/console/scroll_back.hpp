// SPDX-License-Identifier: Apache-2.0
// What a console said last, for those who look at it later. Bytes are numbered from the first one ever said, so that
// each viewer is no more than a number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace parapet::console {

class ScrollBack {
public:
    static constexpr std::size_t usual_capacity = 256 * 1024;

    explicit ScrollBack(std::size_t capacity = usual_capacity)
        : bytes_{std::make_unique_for_overwrite<char[]>(capacity)}, capacity_{capacity} {}

    /// Keeps `text`, and forgets the oldest bytes for it.
    void append(std::string_view text) {
        if (text.size() > capacity_) {
            end_ += text.size() - capacity_;
            text.remove_prefix(text.size() - capacity_);
        }
        const std::size_t at = end_ % capacity_;
        const std::size_t first = std::min(text.size(), capacity_ - at);
        std::copy_n(text.begin(), first, bytes_.get() + at);
        std::copy_n(text.begin() + first, text.size() - first, bytes_.get());
        end_ += text.size();
    }

    [[nodiscard]] std::uint64_t begin() const { return end_ > capacity_ ? end_ - capacity_ : 0; } ///< oldest byte kept
    [[nodiscard]] std::uint64_t end() const { return end_; }                                      ///< the next byte

    /// Bytes from number `from` on that lie in one piece, at most `most`; none at end(). Valid until append().
    /// Precondition: begin() <= from <= end().
    [[nodiscard]] std::string_view piece(std::uint64_t from, std::size_t most) const {
        const std::size_t at = from % capacity_;
        const std::size_t count = std::min({static_cast<std::size_t>(end_ - from), capacity_ - at, most});
        return {bytes_.get() + at, count};
    }

    /// Where to begin reading: at the start of a line where the oldest bytes were forgotten, unless lines are endless.
    [[nodiscard]] std::uint64_t first_line() const {
        constexpr std::uint64_t longest = 4096;
        if (begin() == 0) {
            return 0;
        }
        const std::uint64_t stop = std::min(begin() + longest, end_);
        for (std::uint64_t i = begin(); i < stop; i++) {
            if (bytes_[i % capacity_] == '\n') {
                return i + 1;
            }
        }
        return begin();
    }

private:
    std::unique_ptr<char[]> bytes_;
    std::size_t capacity_;
    std::uint64_t end_ = 0;
};

} // namespace parapet::console
