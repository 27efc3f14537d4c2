// SPDX-License-Identifier: Apache-2.0
#include "vmm/uuid.hpp"

#include <algorithm>
#include <cstdio>
#include <random>

namespace parapet::vmm {

Uuid random_uuid() {
    std::random_device source;
    Uuid bytes{};
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(source()); });
    bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
    bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
    return bytes;
}

std::string uuid_text(const Uuid& bytes) {
    std::string text;
    char two[3];
    for (std::size_t i = 0; i < bytes.size(); i++) {
        std::snprintf(two, sizeof(two), "%02x", bytes[i]);
        text += two;
        if (i == 3 || i == 5 || i == 7 || i == 9) {
            text += '-';
        }
    }
    return text;
}

} // namespace parapet::vmm
