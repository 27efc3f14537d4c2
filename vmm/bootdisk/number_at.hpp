// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers in what was read from a disk, of any length.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

namespace parapet::bootdisk {

static_assert(std::endian::native == std::endian::little);

/// Nothing where it is not all there.
template <typename T>
[[nodiscard]] std::optional<T> number_inside(std::string_view bytes, std::size_t offset) {
    T value{};
    if (offset > bytes.size() || bytes.size() - offset < sizeof value) {
        return std::nullopt;
    }
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

/// 0 where it is not all there.
template <typename T>
[[nodiscard]] T number_at(std::string_view bytes, std::size_t offset) {
    return number_inside<T>(bytes, offset).value_or(T{});
}

} // namespace parapet::bootdisk
