// SPDX-License-Identifier: Apache-2.0
#include "backends/io/rate_limit.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using parapet::io::RateLimit;

constexpr RateLimit::Clock::time_point start{1h};

TEST(RateLimit, NoRateLetsEverythingGo) {
    RateLimit limit;
    EXPECT_FALSE(limit.limits());
    EXPECT_TRUE(limit.ready(start, 1ULL << 40));
    limit.spend(1ULL << 40);
    EXPECT_EQ(limit.wait(start, 1ULL << 40), 0ns);
}

TEST(RateLimit, LetsTheBurstGoAndThenTheRate) {
    RateLimit limit{1000, 100};
    EXPECT_TRUE(limit.ready(start, 100));
    limit.spend(100);
    EXPECT_FALSE(limit.ready(start, 1));
    EXPECT_NEAR(static_cast<double>(limit.wait(start, 10).count()), 10e6, 1e4);
    EXPECT_FALSE(limit.ready(start + 9ms, 10));
    EXPECT_TRUE(limit.ready(start + 11ms, 10));
}

TEST(RateLimit, SavesNoMoreThanTheBurst) {
    RateLimit limit{1000, 100};
    EXPECT_TRUE(limit.ready(start, 1));
    EXPECT_TRUE(limit.ready(start + 1h, 100));
    limit.spend(100);
    EXPECT_FALSE(limit.ready(start + 1h, 1));
}

TEST(RateLimit, AUnitLargerThanTheBurstGoesAndIsPaidForAfterwards) {
    RateLimit limit{1000, 100};
    EXPECT_TRUE(limit.ready(start, 1000));
    limit.spend(1000);
    EXPECT_FALSE(limit.ready(start + 900ms, 1));
    EXPECT_TRUE(limit.ready(start + 902ms, 1));
}

TEST(RateLimit, IsTheRateInTheLongRun) {
    RateLimit limit{5000, 50};
    auto now = start;
    std::uint64_t sent = 0;
    while (now < start + 10s) {
        now += std::max<std::chrono::nanoseconds>(limit.wait(now, 7), 1us);
        if (limit.ready(now, 7)) {
            limit.spend(7);
            sent += 7;
        }
    }
    EXPECT_NEAR(static_cast<double>(sent), 50000, 200);
}

} // namespace
