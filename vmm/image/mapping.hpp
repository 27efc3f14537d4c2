// SPDX-License-Identifier: Apache-2.0
// A memory mapping with an owner: its pages go back to the host when it ends, not to a heap that keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "support/result.hpp"

namespace parapet::image {

class Mapping {
public:
    Mapping() = default;
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();

    /// Zero pages that cost memory only where they are touched.
    [[nodiscard]] static Result<Mapping> reserve(uint64_t size);

    /// The same, for processes that are forked later, too: all see what one of them writes.
    [[nodiscard]] static Result<Mapping> reserve_shared(uint64_t size);

    /// Puts a file's bytes, read-only, over a part of this; all offsets at page boundaries. False: the host refuses.
    [[nodiscard]] bool overlay(uint64_t offset, int fd, uint64_t file_offset, uint64_t length);

    [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }

    /// Gives back what lies beyond the first `size` bytes.
    void shrink(size_t size);

private:
    [[nodiscard]] static Result<Mapping> map(uint64_t size, int sharing);
    Mapping(std::byte* data, size_t size) : data_{data}, size_{size} {}
    std::byte* data_ = nullptr;
    size_t size_ = 0;
};

} // namespace parapet::image
