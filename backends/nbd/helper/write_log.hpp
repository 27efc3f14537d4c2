// SPDX-License-Identifier: Apache-2.0
// Writes that the server has acknowledged but not yet made durable. A server that dies may lose them although the guest
// was told that they are done (not: durable), and would then flush a hole. So they are kept until a flush that began
// after them has succeeded, and are written again when the server is back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>

namespace parapet::nbd {

class WriteLog {
public:
    struct Entry {
        std::uint64_t offset = 0;
        std::uint32_t length = 0;
        std::unique_ptr<std::byte[]> data; ///< none: zeroes

        [[nodiscard]] bool overlaps(const Entry& other) const {
            return offset < other.offset + other.length && other.offset < offset + length;
        }
    };
    static constexpr std::size_t entry_cost = 96; ///< what an entry takes beside its data, about

    /// In the order in which the server acknowledged them.
    void add(std::uint64_t offset, std::uint32_t length, const std::byte* data) {
        Entry entry{offset, length, std::unique_ptr<std::byte[]>{new std::byte[length]}};
        std::memcpy(entry.data.get(), data, length);
        bytes_ += length + entry_cost;
        entries_.push_back(std::move(entry));
    }
    void add_zeroes(std::uint64_t offset, std::uint32_t length) {
        bytes_ += entry_cost;
        entries_.push_back({offset, length, nullptr});
    }
    /// Names the place behind the last entry, for drop_until().
    [[nodiscard]] std::uint64_t end() const { return first_ + entries_.size(); }
    /// What stood before `mark` is durable.
    void drop_until(std::uint64_t mark) {
        while (first_ < mark && !entries_.empty()) {
            const Entry& entry = entries_.front();
            bytes_ -= entry_cost + (entry.data ? entry.length : 0);
            entries_.pop_front();
            first_++;
        }
    }
    /// Memory that it takes.
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    [[nodiscard]] const Entry& operator[](std::size_t index) const { return entries_[index]; }

private:
    std::deque<Entry> entries_;
    std::uint64_t first_ = 0; ///< number of the first entry
    std::size_t bytes_ = 0;
};

} // namespace parapet::nbd
