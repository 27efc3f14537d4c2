// SPDX-License-Identifier: Apache-2.0
// Reads numbers and structures out of unaligned bytes. The caller has checked the length.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace parapet::image {

static_assert(std::endian::native == std::endian::little, "images are little-endian, and so is every host of theirs");

template <typename T>
[[nodiscard]] T read_le(std::span<const std::byte> bytes, size_t offset) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

} // namespace parapet::image
