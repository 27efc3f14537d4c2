// SPDX-License-Identifier: Apache-2.0
// A token bucket: so many units a second on average, so many at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace parapet::io {

class RateLimit {
public:
    using Clock = std::chrono::steady_clock;

    RateLimit() = default;
    /// `per_second` 0: no limit. `burst`: what may go at once after a pause (at least one second's hundredth).
    RateLimit(std::uint64_t per_second, std::uint64_t burst)
        : rate_{static_cast<double>(per_second)}, burst_{std::max({static_cast<double>(burst), rate_ / 100, 1.0})},
          tokens_{burst_} {}

    [[nodiscard]] bool limits() const { return rate_ > 0; }
    /// May something go now? A unit larger than the burst may go when the bucket is full; it then goes below zero.
    [[nodiscard]] bool ready(Clock::time_point now, std::uint64_t units) {
        refill(now);
        return !limits() || tokens_ >= std::min(static_cast<double>(units), burst_);
    }
    void spend(std::uint64_t units) {
        if (limits()) {
            tokens_ -= static_cast<double>(units);
        }
    }
    /// How long until ready(). Zero: it is.
    [[nodiscard]] std::chrono::nanoseconds wait(Clock::time_point now, std::uint64_t units) {
        if (ready(now, units)) {
            return {};
        }
        const double missing = std::min(static_cast<double>(units), burst_) - tokens_;
        return std::chrono::nanoseconds{static_cast<std::int64_t>(missing / rate_ * 1e9) + 1};
    }

private:
    void refill(Clock::time_point now) {
        if (last_ != Clock::time_point{}) {
            tokens_ = std::min(burst_, tokens_ + rate_ * std::chrono::duration<double>(now - last_).count());
        }
        last_ = now;
    }
    double rate_ = 0, burst_ = 0, tokens_ = 0;
    Clock::time_point last_{};
};

} // namespace parapet::io
