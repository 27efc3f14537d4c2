// SPDX-License-Identifier: Apache-2.0
// Sizes and durations, good and bad.
#include "tools/parapet/quantities.hpp"

#include <gtest/gtest.h>

namespace parapet::cli {
namespace {

using namespace std::chrono_literals;

TEST(ParseSize, Units) {
    EXPECT_EQ(*parse_size("512M"), 512ULL << 20);
    EXPECT_EQ(*parse_size("512"), 512ULL << 20); // MiB without a suffix, as in xl
    EXPECT_EQ(*parse_size("1g"), 1ULL << 30);
    EXPECT_EQ(*parse_size("4096K"), 4ULL << 20);
    EXPECT_EQ(*parse_size("2T"), 2ULL << 40);
    EXPECT_EQ(*parse_size("64MiB"), 64ULL << 20);
    EXPECT_EQ(*parse_size("64mb"), 64ULL << 20);
    EXPECT_EQ(*parse_size("8192B"), 8192U);
}

TEST(ParseSize, Refused) {
    for (const char* text : {"", "M", "-1M", "+1M", "1.5G", " 1M", "1M ", "1 M", "0x10M", "5X", "5MM", "5iB", "5Bi",
                             "1e3", "0", "0G", "99999999999999999999", "18446744073709551615", "9000000000T"}) {
        EXPECT_FALSE(parse_size(text).ok()) << text;
    }
}

TEST(ParseDuration, Units) {
    EXPECT_EQ(*parse_duration("90"), 90s);
    EXPECT_EQ(*parse_duration("90s"), 90s);
    EXPECT_EQ(*parse_duration("500ms"), 500ms);
    EXPECT_EQ(*parse_duration("5m"), 5min);
    EXPECT_EQ(*parse_duration("1h"), 1h);
    EXPECT_EQ(*parse_duration("87600h"), 87600h);
}

TEST(ParseDuration, Refused) {
    for (const char* text :
         {"", "s", "-5s", "1.5s", "5d", "5 s", "0", "0ms", "87601h", "99999999999999999999s", "inf"}) {
        EXPECT_FALSE(parse_duration(text).ok()) << text;
    }
}

TEST(FormatSize, LargestWholeUnit) {
    EXPECT_EQ(format_size(512ULL << 20), "512M");
    EXPECT_EQ(format_size(4100ULL << 10), "4100K");
    EXPECT_EQ(format_size(1ULL << 40), "1T");
    EXPECT_EQ(format_size(5ULL << 50), "5120T");
    EXPECT_EQ(format_size(1), "1B");
    EXPECT_EQ(format_size(0), "0B");
}

} // namespace
} // namespace parapet::cli
