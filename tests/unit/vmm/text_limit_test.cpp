// SPDX-License-Identifier: Apache-2.0
#include "vmm/text_limit.hpp"

#include <gtest/gtest.h>
#include <optional>

namespace parapet::vmm {
namespace {

using namespace std::chrono_literals;

class TextLimitTest : public testing::Test {
protected:
    void SetUp() override {
        limit.emplace([this](std::string_view text) { said += text; }, [this] { return now; });
    }
    std::string said;
    TextLimit::Clock::time_point now{1000s};
    std::optional<TextLimit> limit;
};

TEST_F(TextLimitTest, LetsABootThrough) {
    const std::string line(99, 'x');
    std::string all;
    for (unsigned i = 0; i < 5000; i++) {
        (*limit)(line + "\n");
        all += line + "\n";
    }
    EXPECT_EQ(said, all);
    limit.reset();
    EXPECT_EQ(said, all) << "nothing was left out";
}

TEST_F(TextLimitTest, SaysOnceHowMuchItLeftOut) {
    const std::string text(1024, 'x');
    for (unsigned i = 0; i < 1024 + 10; i++) {
        (*limit)(text);
    }
    EXPECT_EQ(said.size(), TextLimit::burst);
    said.clear();
    now += 500ms; // room, but not worth a line yet
    (*limit)(text);
    EXPECT_EQ(said, "");
    now += 500ms;
    (*limit)("goes on\n");
    EXPECT_EQ(said, "\nparapet: 11264 bytes of the guest's log were left out: it writes more than 16 KiB a second\n"
                    "goes on\n");
}

TEST_F(TextLimitTest, SaysItAtTheEndToo) {
    const std::string text(1 << 20, '\n');
    (*limit)(text);
    (*limit)("a");
    said.clear();
    limit.reset();
    EXPECT_EQ(said, "parapet: 1 bytes of the guest's log were left out: it writes more than 16 KiB a second\n");
}

TEST_F(TextLimitTest, BoundsWhatComesInALongTime) {
    const std::string text(2048, 'x');
    for (unsigned second = 0; second < 100; second++) {
        for (unsigned i = 0; i < 1000; i++) {
            (*limit)(text);
        }
        now += 1s;
    }
    EXPECT_LE(said.size(), TextLimit::burst + 100 * (TextLimit::bytes_per_second + 200));
    EXPECT_GE(said.size(), TextLimit::burst + 50 * TextLimit::bytes_per_second);
}

} // namespace
} // namespace parapet::vmm
