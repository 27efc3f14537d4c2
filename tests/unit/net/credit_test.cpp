// SPDX-License-Identifier: Apache-2.0
#include "backends/net/credit.hpp"

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

} // namespace
} // namespace parapet::net
