// SPDX-License-Identifier: Apache-2.0
// How little and how much memory a running domain may be asked to own.
#pragma once

#include "support/result.hpp"

#include <cstdint>

namespace parapet::vmm::control {

/// A guest keeps tables for its maximum and dies when its balloon takes what it works with; only the guest knows how
/// much that is. This is what no Linux gets along with less than.
[[nodiscard]] std::uint64_t least_memory_target(std::uint64_t maximum_bytes);

[[nodiscard]] Result<void> check_memory_target(std::uint64_t bytes, std::uint64_t maximum_bytes);

} // namespace parapet::vmm::control
