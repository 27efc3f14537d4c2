// SPDX-License-Identifier: Apache-2.0
// A small generator of pseudo-random numbers (xorshift): the same seed gives the same numbers.
#pragma once

#include <cstdint>

namespace parapet::guest {

class Random {
public:
    explicit Random(uint64_t seed) : state_{seed * 0x9e3779b97f4a7c15 | 1} {}
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }
    /// 0 up to `bound`, without it.
    uint64_t below(uint64_t bound) { return next() % bound; }
    bool one_in(uint64_t n) { return below(n) == 0; }

private:
    uint64_t state_;
};

} // namespace parapet::guest
