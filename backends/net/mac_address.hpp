// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::net {

using MacAddress = std::array<std::uint8_t, 6>;

/// "00:16:3e:01:02:03"; one or two digits a part, as xl takes it. Nothing: malformed.
[[nodiscard]] std::optional<MacAddress> parse_mac(std::string_view text);
[[nodiscard]] std::string to_string(const MacAddress& mac);
[[nodiscard]] inline bool is_multicast(const MacAddress& mac) {
    return (mac[0] & 1) != 0;
}
/// In Xen's range, 00:16:3e.
[[nodiscard]] MacAddress random_mac();

} // namespace parapet::net
