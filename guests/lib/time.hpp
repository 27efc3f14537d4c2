// SPDX-License-Identifier: Apache-2.0
// System time in nanoseconds from vcpu_time_info.
#pragma once

#include <cstdint>

namespace parapet::guest {

/// System time of vCPU 0; 0 until the shared information page is mapped.
[[nodiscard]] uint64_t now_ns();

/// `ticks` of the time-stamp counter in nanoseconds.
[[nodiscard]] uint64_t tsc_to_ns(uint64_t ticks);

/// Hertz of the time-stamp counter.
[[nodiscard]] uint64_t tsc_hertz();

} // namespace parapet::guest
