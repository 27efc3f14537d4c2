// SPDX-License-Identifier: Apache-2.0
// The fuzz driver on random inputs, bounded, so that every test run gets some of it.
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

TEST(GrantsRandom, DriverSurvives) {
    std::mt19937 random{1};
    for (int run = 0; run < 2000; ++run) {
        std::vector<std::uint8_t> input(random() % 600);
        for (auto& byte : input) {
            byte = static_cast<std::uint8_t>(random() % 4 != 0 ? random() % 32 : random());
        }
        ASSERT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0);
    }
}

} // namespace
