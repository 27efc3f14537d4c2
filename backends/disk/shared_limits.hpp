// SPDX-License-Identifier: Apache-2.0
// The limits of a disk, shared by its queues.
#pragma once

#include "backends/disk/disk_spec.hpp"
#include "backends/io/rate_limit.hpp"
#include "backends/io/turns.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace parapet::disk {

class SharedLimits {
public:
    using Clock = io::RateLimit::Clock;
    /// Looked at again so soon by who would have passed had it been its turn.
    static constexpr std::chrono::microseconds out_of_turn{100};

    explicit SharedLimits(const DiskLimits& limits)
        : operations_{limits.iops, burst(limits.iops, limits.iops_burst)}, bytes_{limits.bytes_per_second,
                                                                                  burst(limits.bytes_per_second,
                                                                                        limits.bytes_burst)} {}

    [[nodiscard]] bool any() const { return operations_.limits() || bytes_.limits(); }
    /// How long until `who`, a queue, may pass with a request of so many bytes. Zero: now; call pass(). Otherwise it
    /// stands in the line, and asks again.
    [[nodiscard]] std::chrono::nanoseconds wait(Clock::time_point now, const void* who, std::uint64_t length) {
        turns_.wait(who, length);
        std::uint64_t requests = 0, bytes = 0; // of all before it, and its own
        for (const auto& waiter : turns_.line()) {
            requests++;
            bytes += waiter.units;
            if (waiter.who == who) {
                break;
            }
        }
        const auto until = std::max(operations_.wait(now, requests), bytes_.wait(now, bytes));
        return turns_.is_next(who) ? until : std::max<std::chrono::nanoseconds>(until, out_of_turn);
    }
    void pass(const void* who, std::uint64_t length) {
        turns_.leave(who);
        operations_.spend(1);
        bytes_.spend(length);
    }
    /// It will not ask again.
    void leave(const void* who) { turns_.leave(who); }

private:
    static std::uint64_t burst(std::uint64_t rate, std::uint64_t wanted) { return wanted != 0 ? wanted : rate / 10; }

    io::RateLimit operations_, bytes_;
    io::Turns turns_;
};

} // namespace parapet::disk
