// SPDX-License-Identifier: Apache-2.0
// The guest's time base: rate of its TSC, and which TSC value goes with which wall-clock time.
#pragma once

#include "support/result.hpp"
#include "vmm/kvm.hpp"

#include <cstdint>

namespace parapet::vmm {

struct ClockReading {
    std::uint64_t tsc_khz = 0;
    std::uint64_t guest_tsc = 0;
    std::uint64_t wall_clock_ns = 0; ///< CLOCK_REALTIME when the guest's TSC read guest_tsc
};

[[nodiscard]] Result<ClockReading> read_clock(const KvmSystem& system, KvmVcpu& vcpu);

} // namespace parapet::vmm
