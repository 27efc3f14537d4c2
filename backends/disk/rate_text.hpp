// SPDX-License-Identifier: Apache-2.0
// Rates and amounts of disk limits as users write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace parapet::disk {

/// Bytes: "10MB/s" is 10^7, "10MiB/s" is 10 * 2^20, "80Mb/s" (bits) is 10^7; "/s" may be missing, and a plain number
/// is bytes. Nothing: malformed, zero, or 2^63 and more.
std::optional<std::uint64_t> parse_byte_rate(std::string_view text);

/// Operations: "500", "20k", "1M", with or without "/s".
std::optional<std::uint64_t> parse_count_rate(std::string_view text);

} // namespace parapet::disk
