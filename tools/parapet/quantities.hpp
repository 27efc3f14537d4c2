// SPDX-License-Identifier: Apache-2.0
// Sizes and durations as users write them.
#pragma once

#include "support/result.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace parapet::cli {

/// "512M", "1.5G" is not: whole numbers with K, M, G or T (powers of 1024; KiB and KB mean the same) or B for bytes.
/// Without a suffix: MiB, as in xl. More than nothing, less than 2^63.
Result<std::uint64_t> parse_size(std::string_view text);

/// "90" and "90s" are seconds; also ms, m, h. More than nothing, at most 10 years.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// The largest unit that needs no fraction: "512M", "4100K".
std::string format_size(std::uint64_t bytes);

} // namespace parapet::cli
