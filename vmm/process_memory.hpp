// SPDX-License-Identifier: Apache-2.0
// This process's own memory, for the statistics.
#pragma once

#include <cstdint>

namespace parapet::vmm {

/// Resident anonymous and file-backed bytes (RssAnon + RssFile of /proc/self/status); the guest's memory is shared
/// memory and not among them. 0 where the host does not say.
[[nodiscard]] std::uint64_t own_memory_bytes();

} // namespace parapet::vmm
