// SPDX-License-Identifier: Apache-2.0
// The seccomp filters of a domain's processes, for people and for programs: stable, in the order of names.
#pragma once

#include "support/filter_text.hpp"

#include <span>
#include <string>

namespace parapet::cli::doctor {

[[nodiscard]] std::string sandbox_report(std::span<const FilterText> filters);
[[nodiscard]] std::string sandbox_json(std::span<const FilterText> filters);

} // namespace parapet::cli::doctor
