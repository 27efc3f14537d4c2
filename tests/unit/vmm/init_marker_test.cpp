// SPDX-License-Identifier: Apache-2.0
#include "vmm/init_marker.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

TEST(InitMarker, FindsTheLineInPieces) {
    InitMarker marker;
    marker.start(std::chrono::steady_clock::now());
    marker.feed("[ 1.0] boot\nparapet-in");
    marker.feed("it: uptime 4.");
    EXPECT_FALSE(marker.guest_uptime());
    marker.feed("35\r\nmore");
    ASSERT_TRUE(marker.guest_uptime());
    EXPECT_DOUBLE_EQ(*marker.guest_uptime(), 4.35);
    EXPECT_GE(*marker.host_seconds(), 0.0);
}

TEST(InitMarker, OnlyTheFirstCounts) {
    InitMarker marker;
    marker.feed("parapet-init: uptime 1\nparapet-init: uptime 2\n");
    EXPECT_DOUBLE_EQ(marker.guest_uptime().value_or(0), 1.0);
}

TEST(InitMarker, EndlessLinesAndRubbishAreHarmless) {
    InitMarker marker;
    for (int i = 0; i < 1000; i++) {
        marker.feed(std::string(1000, '\0'));
    }
    marker.feed("parapet-init: uptime 9\n");
    EXPECT_FALSE(marker.guest_uptime()) << "beyond the length of a line that is looked at";
    marker.feed("parapet-init: uptime\nparapet-init: uptime x\n");
    EXPECT_DOUBLE_EQ(marker.guest_uptime().value_or(-1), 0.0);
}

} // namespace
} // namespace parapet::vmm
