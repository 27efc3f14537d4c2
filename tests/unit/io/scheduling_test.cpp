// SPDX-License-Identifier: Apache-2.0
#include "backends/io/scheduling.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace parapet::io {
namespace {

/// Policies are a thread's own.
void in_a_thread(const std::function<void()>& what) {
    std::thread{what}.join();
}

TEST(Scheduling, FollowsTheNumberUnderWay) {
    in_a_thread([] {
        ASSERT_EQ(::sched_getscheduler(0), SCHED_OTHER);
        Scheduling scheduling;
        EXPECT_FALSE(scheduling.adapt(7));
        EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
        EXPECT_TRUE(scheduling.adapt(8));
        EXPECT_EQ(::sched_getscheduler(0), SCHED_BATCH);
        EXPECT_FALSE(scheduling.adapt(4)) << "it does not change to and fro";
        EXPECT_TRUE(scheduling.adapt(3));
        EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
        EXPECT_FALSE(scheduling.adapt(7));
    });
}

TEST(Scheduling, LeavesAPolicyAloneThatSomebodyHasChosen) {
    in_a_thread([] {
        const sched_param none{};
        ASSERT_EQ(::sched_setscheduler(0, SCHED_IDLE, &none), 0);
        Scheduling scheduling;
        EXPECT_FALSE(scheduling.adapt(64));
        EXPECT_EQ(::sched_getscheduler(0), SCHED_IDLE);
    });
}

} // namespace
} // namespace parapet::io
