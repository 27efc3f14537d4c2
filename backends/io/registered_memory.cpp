// SPDX-License-Identifier: Apache-2.0
#include "backends/io/registered_memory.hpp"

#include "backends/io/restricted_ring.hpp"

#include <algorithm>

namespace parapet::io {

namespace {
constexpr unsigned least_shift = 21; // a huge page
}

void RegisteredMemory::begin(std::byte* base, std::uint64_t bytes) {
    base_ = base;
    bytes_ = bytes;
    shift_ = least_shift;
    while ((bytes_ >> shift_) + 1 > RestrictedRing::max_buffers) {
        shift_++;
    }
    pieces_ = bytes_ == 0 ? 0 : ((bytes_ - 1) >> shift_) + 1;
    registered_ = std::make_unique<std::atomic<bool>[]>(pieces_);
    refused_ = false;
}

void RegisteredMemory::end() {
    for (std::uint64_t piece = 0; piece < pieces_; piece++) {
        if (registered_[piece].load(std::memory_order_relaxed)) {
            set_piece(piece, nullptr, 0);
        }
    }
    pieces_ = bytes_ = 0;
    base_ = nullptr;
}

bool RegisteredMemory::inside(const void* data, std::size_t length) const {
    const auto* at = static_cast<const std::byte*>(data);
    return at >= base_ && at < base_ + bytes_ && length <= static_cast<std::size_t>(base_ + bytes_ - at);
}

int RegisteredMemory::index_of(const void* data, std::size_t length) {
    if (length == 0 || !inside(data, length)) {
        return -1;
    }
    const std::uint64_t piece = piece_of(data);
    if (piece_of(static_cast<const std::byte*>(data) + length - 1) != piece ||
        (!registered_[piece].load(std::memory_order_relaxed) && !register_piece(piece))) {
        return -1;
    }
    uses_.add();
    return static_cast<int>(piece);
}

bool RegisteredMemory::register_piece(std::uint64_t piece) {
    if (!refused_) {
        const std::uint64_t start = piece << shift_;
        const std::uint64_t length = std::min(bytes_ - start, std::uint64_t{1} << shift_);
        set_piece(piece, base_ + start, length);
    }
    return registered_[piece].load(std::memory_order_relaxed);
}

/// length 0: takes the piece out of the table. Operations under way keep what they use.
void RegisteredMemory::set_piece(std::uint64_t piece, void* start, std::size_t length) {
    const iovec range{start, length};
    // Before the pages are pinned: whoever replaces one and does not find it registered knows that the new one will be.
    registered_[piece].store(length != 0);
    const __u64 no_tag = 0;
    const int set = io_uring_register_buffers_update_tag(ring_, static_cast<unsigned>(piece), &range, &no_tag, 1);
    if (length != 0 && set < 0) {
        refused_ = true;
    }
    if (length != 0 && set <= 0) {
        registered_[piece].store(false, std::memory_order_release);
    }
}

void RegisteredMemory::forget(std::span<const std::byte* const> pages) {
    for (const std::byte* page : pages) {
        if (inside(page, 1) && registered_[piece_of(page)].load(std::memory_order_relaxed)) {
            set_piece(piece_of(page), nullptr, 0);
        }
    }
}

bool RegisteredMemory::any_registered(std::span<const std::byte* const> pages) const {
    return std::any_of(pages.begin(), pages.end(), [this](const std::byte* page) {
        return inside(page, 1) && registered_[piece_of(page)].load(std::memory_order_acquire);
    });
}

} // namespace parapet::io
