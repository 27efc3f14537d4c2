// SPDX-License-Identifier: Apache-2.0
// What bench measures: a list of operations, each able to run any number of times.
#pragma once

#include <cstdint>

#include "guests/lib/cpu.hpp"

namespace parapet::guest::bench {

/// Returned by a run that went wrong: the time is meaningless.
inline constexpr uint64_t failed = ~0ul;

struct Operation {
    const char* name;
    /// Does the operation `count` times; the time-stamp counter's ticks that count, or `failed`.
    uint64_t (*run)(uint64_t count);
    /// Page-table entries, calls … in one operation: the time per part is printed too when more than 1.
    unsigned parts = 1;
    /// Most repetitions worth doing, for operations that wait.
    uint64_t limit = 1u << 24;
};

/// Ticks that `count` calls of `body` take; `body` says whether it worked.
template <typename Body>
inline uint64_t timed(uint64_t count, Body body) {
    const uint64_t begin = rdtsc();
    for (uint64_t i = 0; i < count; ++i) {
        if (!body(i)) [[unlikely]] {
            return failed;
        }
    }
    return rdtsc() - begin;
}

/// A group of operations and what they need made first.
struct Group {
    long (*prepare)(); ///< 0 or -errno; null: nothing to do
    const Operation* operations;
    unsigned count;
};

extern const Group basic_group;
extern const Group user_group;
extern const Group memory_group;
extern const Group root_group;
extern const Group event_group;

} // namespace parapet::guest::bench
