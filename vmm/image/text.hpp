// SPDX-License-Identifier: Apache-2.0
// Strings out of images, made safe to print; numbers for messages.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace parapet::image {

/// The bytes up to a NUL or the end; what is not printable ASCII becomes '?'.
[[nodiscard]] inline std::string text_of(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte b : bytes) {
        if (b == std::byte{0})
            break;
        const char c = static_cast<char>(b);
        text.push_back(c >= ' ' && c <= '~' ? c : '?');
    }
    return text;
}

[[nodiscard]] inline std::string hex(uint64_t number) {
    char digits[17] = {};
    std::to_chars(digits, digits + 16, number, 16);
    return std::string{"0x"} + digits;
}

} // namespace parapet::image
