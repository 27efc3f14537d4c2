// SPDX-License-Identifier: Apache-2.0
// What the finder tells the process that started it: a list of texts, each with its length before it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

inline constexpr std::size_t max_report = 1 << 20;

std::string pack_report(const std::vector<std::string>& texts);
/// Nothing if the bytes are no report.
std::optional<std::vector<std::string>> unpack_report(std::string_view bytes);

} // namespace parapet::bootdisk
