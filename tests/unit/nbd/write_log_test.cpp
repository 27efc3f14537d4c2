// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/write_log.hpp"

#include <gtest/gtest.h>

namespace {

using parapet::nbd::WriteLog;

TEST(WriteLog, KeepsACopy) {
    WriteLog log;
    std::byte data[4] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    log.add(100, 4, data);
    data[0] = std::byte{9};
    ASSERT_EQ(log.size(), 1U);
    EXPECT_EQ(log[0].data[0], std::byte{1});
    EXPECT_EQ(log[0].offset, 100U);
}

TEST(WriteLog, AFlushDropsWhatStoodBeforeIt) {
    WriteLog log;
    const std::byte data[8]{};
    log.add(0, 8, data);
    log.add_zeroes(8, 8);
    const auto mark = log.end();
    log.add(16, 8, data);
    log.drop_until(mark);
    ASSERT_EQ(log.size(), 1U);
    EXPECT_EQ(log[0].offset, 16U);
    EXPECT_EQ(log.bytes(), 8 + WriteLog::entry_cost);
    log.drop_until(mark); // an older flush that ends later
    EXPECT_EQ(log.size(), 1U);
    log.drop_until(log.end());
    EXPECT_EQ(log.size(), 0U);
    EXPECT_EQ(log.bytes(), 0U);
}

TEST(WriteLog, OverlapIsExact) {
    const WriteLog::Entry first{4096, 4096, nullptr};
    EXPECT_TRUE(first.overlaps({8191, 1, nullptr}));
    EXPECT_FALSE(first.overlaps({8192, 4096, nullptr}));
    EXPECT_FALSE(first.overlaps({0, 4096, nullptr}));
    EXPECT_TRUE(first.overlaps({0, 4097, nullptr}));
}

} // namespace
