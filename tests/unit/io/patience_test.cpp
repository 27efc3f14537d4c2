// SPDX-License-Identifier: Apache-2.0
#include "backends/io/patience.hpp"

#include <gtest/gtest.h>

namespace parapet::io {
namespace {

using namespace std::chrono_literals;
constexpr auto moment = 50us;

struct PatienceTest : testing::Test {
    bool finds(bool under_way = true) { return patience.look_again(true, under_way, now, moment); }
    bool finds_nothing(bool under_way = true) { return patience.look_again(false, under_way, now, moment); }
    void fail() {
        ASSERT_TRUE(finds());
        now += moment;
        ASSERT_FALSE(finds_nothing());
    }
    /// How many requests in a row come with a signal for each before it is tried again.
    unsigned signals_until_tried() {
        unsigned count = 0;
        while (!finds()) {
            ++count;
            EXPECT_FALSE(finds_nothing());
        }
        return count;
    }
    Patience patience;
    Patience::Clock::time_point now{1s};
};

TEST_F(PatienceTest, LooksForAMomentAfterTheLastRequest) {
    EXPECT_TRUE(finds());
    now += 49us;
    EXPECT_TRUE(finds_nothing());
    EXPECT_TRUE(finds());
    now += 49us;
    EXPECT_TRUE(finds_nothing());
    now += 1us;
    EXPECT_FALSE(finds_nothing());
}

TEST_F(PatienceTest, DoesNotLookBeforeThereWasARequest) {
    EXPECT_FALSE(finds_nothing());
}

TEST_F(PatienceTest, AsksForASignalWhenAllIsAnswered) {
    EXPECT_TRUE(finds());
    EXPECT_FALSE(finds_nothing(false));
    EXPECT_FALSE(finds(false));
    EXPECT_TRUE(finds()) << "this is no failure";
}

TEST_F(PatienceTest, TriesMoreRarelyAfterEachFailureAndAgainAfterASuccess) {
    fail();
    unsigned skipped = signals_until_tried();
    EXPECT_EQ(skipped, 1u);
    for (const unsigned expected : {3u, 7u, 15u, 31u, 63u, 63u}) {
        now += moment;
        ASSERT_FALSE(finds_nothing());
        EXPECT_EQ(signals_until_tried(), expected);
    }
    EXPECT_TRUE(finds()) << "found unasked";
    now += moment;
    EXPECT_FALSE(finds_nothing());
    EXPECT_EQ(signals_until_tried(), 1u);
}

} // namespace
} // namespace parapet::io
