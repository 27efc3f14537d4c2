// SPDX-License-Identifier: Apache-2.0
#include "support/line_limit.hpp"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace parapet {
namespace {

TEST(LineLimit, LetsLinesThroughAgainAfterAMinute) {
    std::vector<std::string> lines;
    LineLimit::Clock::time_point now{};
    constexpr unsigned most = 8;
    const LineLimit limit{[&](std::string_view line) { lines.emplace_back(line); }, most, [&] { return now; }};
    const LineLimit copy = limit;
    for (unsigned i = 0; i < most + 5; i++) {
        (i % 2 == 0 ? limit : copy)("a");
    }
    ASSERT_EQ(lines.size(), most);
    now += std::chrono::seconds{61};
    limit("b");
    ASSERT_EQ(lines.size(), most + 2);
    EXPECT_EQ(lines[lines.size() - 2], "(5 lines like it were left out)");
    EXPECT_EQ(lines.back(), "b");
}

} // namespace
} // namespace parapet
