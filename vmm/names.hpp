// SPDX-License-Identifier: Apache-2.0
// Names of hypercalls and exceptions for reports and statistics.
#pragma once

#include <cstdint>

namespace parapet::vmm {

/// "mmu_update", "?" for a number without a name.
[[nodiscard]] const char* hypercall_name(std::uint64_t number);
/// "#PF"; beyond the exceptions a word for the nucleus's pseudo vectors.
[[nodiscard]] const char* exception_name(std::uint64_t vector);

} // namespace parapet::vmm
