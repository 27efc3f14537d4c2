// SPDX-License-Identifier: Apache-2.0
#include "backends/net/credit.hpp"

#include <array>
#include <gtest/gtest.h>

namespace parapet::net {
namespace {

using namespace std::chrono_literals;

TEST(Credit, IsUnlimitedWithoutARate) {
    Credit credit;
    EXPECT_TRUE(credit.spend({}, 1 << 30));
}

TEST(Credit, BringsSoMuchInEachInterval) {
    Credit credit{VifRate{10'000, 50'000}};
    const Credit::Clock::time_point start{1000s};
    EXPECT_TRUE(credit.spend(start, 6000));
    EXPECT_FALSE(credit.spend(start, 6000));
    EXPECT_EQ(credit.wait(start), 50ms);
    EXPECT_EQ(credit.wait(start + 20ms), 30ms);
    EXPECT_FALSE(credit.spend(start + 49ms, 6000));
    EXPECT_TRUE(credit.spend(start + 50ms, 14'000)); // what was left is kept
    EXPECT_FALSE(credit.spend(start + 50ms, 1));
}

TEST(Credit, KeepsEnoughForTheLargestPacketAndNotMore) {
    Credit credit{VifRate{1000, 1000}};
    const Credit::Clock::time_point start{1000s};
    EXPECT_TRUE(credit.spend(start, 1000));
    EXPECT_FALSE(credit.spend(start + 60ms, 65535));
    EXPECT_TRUE(credit.spend(start + 66ms, 65535));
    EXPECT_TRUE(credit.spend(start + 3600s, Credit::least_burst));
    EXPECT_FALSE(credit.spend(start + 3600s, 1));
    EXPECT_FALSE(credit.spend(start + 3600s + 1us, 1));
}

TEST(Credit, LetsPassWhatTheRateSays) {
    Credit credit{VifRate{62'500, 50'000}}; // 10 Mb/s
    Credit::Clock::time_point now{1000s};
    const auto end = now + 60s;
    std::uint64_t passed = 0;
    while (now < end) {
        if (credit.spend(now, 1514)) {
            passed += 1514;
        } else {
            now += credit.wait(now);
        }
    }
    EXPECT_NEAR(static_cast<double>(passed), 60 * 1.25e6, 100'000);
}

TEST(Credit, LetsNoQueueStarve) {
    for (const std::uint64_t bytes : {4000, 62'500}) {
        Credit credit{VifRate{bytes, 50'000}};
        const std::array<int, 3> queues{};
        std::array<std::uint64_t, 3> passed{};
        Credit::Clock::time_point now{1000s};
        const auto end = now + 20s;
        while (now < end) { // each sends as long as it may; the first is always woken first
            auto next = now + 1s;
            for (std::size_t i = 0; i < queues.size(); ++i) {
                const std::uint64_t size = i == 0 ? 1514 : 3000;
                while (credit.spend(now, size, &queues[i])) {
                    passed[i] += size;
                }
                next = std::min(next, now + credit.wait(now));
            }
            now = next;
        }
        EXPECT_NEAR(static_cast<double>(passed[0] + passed[1] + passed[2]), static_cast<double>(bytes * 20 * 20),
                    140'000);
        EXPECT_GT(passed[0], 0u);
        EXPECT_NEAR(static_cast<double>(passed[1]), static_cast<double>(passed[2]), 6000);
        // One packet each, after a first interval that the first queue had for itself.
        EXPECT_NEAR(static_cast<double>(passed[0]) / 1514, static_cast<double>(passed[1]) / 3000,
                    static_cast<double>(bytes) / 1514 + 3);
    }
}

} // namespace
} // namespace parapet::net
