// SPDX-License-Identifier: Apache-2.0
// The rate of an interface, as Xen counts it: each interval brings so many bytes; what is not used is kept up to one
// interval's worth, or 128 KiB, so that the largest packet can go at any rate. Queues that share it take turns.
#pragma once

#include "backends/io/turns.hpp"
#include "backends/net/vif_spec.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace parapet::net {

class Credit {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::uint64_t least_burst = 128 << 10;

    Credit() = default;
    explicit Credit(const std::optional<VifRate>& rate) : rate_{rate}, left_{rate ? rate->bytes : 0} {}

    /// May so many bytes of `who`, a queue, go now? They are spent then; otherwise it stands in the line.
    [[nodiscard]] bool spend(Clock::time_point now, std::uint64_t bytes, const void* who = nullptr) {
        if (!rate_) {
            return true;
        }
        refill(now);
        if (bytes > left_ || !turns_.is_next(who)) {
            turns_.wait(who, bytes);
            return false;
        }
        turns_.leave(who);
        left_ -= bytes;
        return true;
    }
    /// When who was refused should ask again: when the next interval begins, or at once where another one, whose turn
    /// it is, is about to.
    [[nodiscard]] std::chrono::nanoseconds wait(Clock::time_point now) const {
        constexpr std::chrono::nanoseconds at_once{1};
        const bool another = !turns_.line().empty() && turns_.line().front().units <= left_;
        return another ? at_once : std::max(at_once, began_ + interval() - now);
    }

private:
    [[nodiscard]] std::chrono::nanoseconds interval() const { return std::chrono::microseconds{rate_->interval_us}; }
    void refill(Clock::time_point now) {
        if (began_ == Clock::time_point{}) {
            began_ = now;
        }
        const auto passed = static_cast<std::uint64_t>((now - began_) / interval());
        if (passed != 0) {
            began_ += interval() * static_cast<std::int64_t>(passed);
            const std::uint64_t most = std::max(rate_->bytes, least_burst);
            left_ = passed > most / rate_->bytes ? most : std::min(most, left_ + passed * rate_->bytes);
        }
    }

    std::optional<VifRate> rate_;
    io::Turns turns_;
    std::uint64_t left_ = 0;
    Clock::time_point began_{};
};

} // namespace parapet::net
