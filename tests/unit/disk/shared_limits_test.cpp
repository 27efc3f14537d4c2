// SPDX-License-Identifier: Apache-2.0
// Queues that always have a request, under one disk's limits.
#include "backends/disk/shared_limits.hpp"

#include <array>
#include <gtest/gtest.h>

namespace parapet::disk {
namespace {

using namespace std::chrono_literals;

/// Requests of each queue that pass within ten seconds. The first queue is always looked at first.
template <std::size_t Count>
std::array<unsigned, Count> run(const DiskLimits& limits, const std::array<std::uint64_t, Count>& lengths) {
    SharedLimits shared{limits};
    std::array<unsigned, Count> passed{};
    const SharedLimits::Clock::time_point start{1000s};
    std::array<SharedLimits::Clock::time_point, Count> due;
    due.fill(start);
    for (auto now = start; now < start + 10s; now = *std::min_element(due.begin(), due.end())) {
        for (std::size_t i = 0; i < Count; i++) {
            while (due[i] <= now) {
                const auto wait = shared.wait(now, &lengths[i], lengths[i]);
                if (wait.count() == 0) {
                    shared.pass(&lengths[i], lengths[i]);
                    passed[i]++;
                } else {
                    due[i] = now + std::chrono::duration_cast<SharedLimits::Clock::duration>(
                                       std::min<std::chrono::nanoseconds>(wait, 100ms));
                }
            }
        }
    }
    return passed;
}

TEST(SharedLimits, GiveEachQueueItsShareOfTheRequests) {
    for (const std::uint64_t burst : {0, 1, 50}) {
        const auto passed = run<3>({.iops = 600, .iops_burst = burst}, {4096, 4096, 4096});
        for (const unsigned one : passed) {
            EXPECT_NEAR(one, 2000, 100) << burst;
        }
    }
}

TEST(SharedLimits, GiveLargeRequestsTheirTurnToo) {
    const auto passed = run<2>({.bytes_per_second = 10'000'000, .bytes_burst = 1 << 20}, {4096, 1 << 20});
    EXPECT_GE(passed[1], 85U); // nearly all of the rate, as one small request goes between two of them
    EXPECT_GE(passed[0], passed[1]);
    EXPECT_LE(passed[0], passed[1] + (1 << 20) / 4096 + 2) << "the first burst was its own";
}

TEST(SharedLimits, ForgetWhoGoes) {
    SharedLimits shared{{.iops = 10, .iops_burst = 1}};
    const SharedLimits::Clock::time_point now{1000s};
    const std::array<int, 2> queues{};
    EXPECT_EQ(shared.wait(now, &queues[0], 1), 0ns);
    shared.pass(&queues[0], 1);
    EXPECT_GT(shared.wait(now, &queues[0], 1), 0ns);
    EXPECT_GT(shared.wait(now + 1s, &queues[1], 1), 0ns) << "it is the other one's turn";
    shared.leave(&queues[0]);
    EXPECT_EQ(shared.wait(now + 1s, &queues[1], 1), 0ns);
}

} // namespace
} // namespace parapet::disk
