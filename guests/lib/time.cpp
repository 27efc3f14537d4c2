// SPDX-License-Identifier: Apache-2.0
// vcpu_time_info is a seqlock: an odd version means that it is being written.
#include "guests/lib/time.hpp"

#include "guests/lib/cpu.hpp"
#include "guests/lib/kernel.hpp"

namespace parapet::guest {

namespace {

struct Scale {
    uint32_t multiplier;
    int8_t shift;
};

uint64_t scale(uint64_t ticks, Scale by) {
    if (by.shift < 0) {
        ticks >>= -by.shift;
    } else {
        ticks <<= by.shift;
    }
    uint64_t low;
    uint64_t high;
    asm("mulq %[mul]" : "=a"(low), "=d"(high) : [mul] "r"(static_cast<uint64_t>(by.multiplier)), "a"(ticks) : "cc");
    return (low >> 32) | (high << 32);
}

Scale read_scale() {
    const auto& time = this_vcpu().time;
    return {time.tsc_to_system_mul, time.tsc_shift};
}

} // namespace

uint64_t now_ns() {
    if (!shared_info_mapped()) {
        return 0;
    }
    const auto& time = this_vcpu().time;
    for (;;) {
        const uint32_t version = __atomic_load_n(&time.version, __ATOMIC_ACQUIRE);
        const uint64_t tsc_then = __atomic_load_n(&time.tsc_timestamp, __ATOMIC_RELAXED);
        const uint64_t system_then = __atomic_load_n(&time.system_time, __ATOMIC_RELAXED);
        const Scale by = read_scale();
        const uint64_t result = system_then + scale(rdtsc() - tsc_then, by);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((version & 1) == 0 && version == __atomic_load_n(&time.version, __ATOMIC_RELAXED)) {
            return result;
        }
        cpu_relax();
    }
}

uint64_t tsc_to_ns(uint64_t ticks) {
    return scale(ticks, read_scale());
}

uint64_t tsc_hertz() {
    const Scale by = read_scale();
    const uint64_t cycles = (1'000'000'000ul << 32) / by.multiplier; // 10^9 * 2^32 < 2^62
    return by.shift < 0 ? cycles << -by.shift : cycles >> by.shift;
}

} // namespace parapet::guest
