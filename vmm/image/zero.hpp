// SPDX-License-Identifier: Apache-2.0
// Finds bytes that need no memory of their own.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace parapet::image {

[[nodiscard]] inline bool all_zero(std::span<const std::byte> bytes) {
    // Equal to itself shifted by one, and starting with zero: every byte is zero.
    return bytes.empty() ||
           (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

} // namespace parapet::image
