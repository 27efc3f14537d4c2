// SPDX-License-Identifier: Apache-2.0
#include "backends/net/mac_address.hpp"

#include <charconv>
#include <cstdio>
#include <random>

namespace parapet::net {

std::optional<MacAddress> parse_mac(std::string_view text) {
    MacAddress mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const std::string_view part = text.substr(0, text.find(':'));
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), mac[i], 16);
        if (error != std::errc{} || end != part.data() + part.size() || part.size() > 2) {
            return std::nullopt;
        }
        text.remove_prefix(part.size());
        if (i + 1 < mac.size()) {
            if (text.empty()) {
                return std::nullopt;
            }
            text.remove_prefix(1);
        }
    }
    return text.empty() ? std::optional{mac} : std::nullopt;
}

std::string to_string(const MacAddress& mac) {
    std::array<char, 18> text{};
    (void)std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                        mac[4], mac[5]);
    return text.data();
}

MacAddress random_mac() {
    std::random_device random;
    const unsigned bits = random();
    return {0x00,
            0x16,
            0x3e,
            static_cast<std::uint8_t>(bits >> 16 & 0x7f),
            static_cast<std::uint8_t>(bits >> 8),
            static_cast<std::uint8_t>(bits)};
}

} // namespace parapet::net
