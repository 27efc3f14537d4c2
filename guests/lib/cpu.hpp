// SPDX-License-Identifier: Apache-2.0
// Single instructions that guests use directly.
#pragma once

#include <cstdint>

namespace parapet::guest {

/// Time-stamp counter, after every earlier load has completed.
inline uint64_t rdtsc() {
    uint32_t low;
    uint32_t high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (static_cast<uint64_t>(high) << 32) | low;
}

inline void compiler_barrier() {
    asm volatile("" : : : "memory");
}

inline void cpu_relax() {
    asm volatile("pause" : : : "memory");
}

} // namespace parapet::guest
