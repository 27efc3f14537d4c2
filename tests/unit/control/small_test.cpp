// SPDX-License-Identifier: Apache-2.0
// Which device is meant, and how much memory a domain may be asked to own.
#include "vmm/control/device_name.hpp"
#include "vmm/control/memory_bounds.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm::control {
namespace {

const std::vector<DeviceInfo> some{{"vbd", 51712, "xvda", "", "", {}},
                                   {"vbd", 0, "odd", "", "", {}},
                                   {"vif", 0, "vif0", "", "", {}},
                                   {"vif", 1, "vif1", "", "", {}}};

TEST(DeviceName, EveryWayToSayIt) {
    for (const char* word : {"xvda", "vbd-51712", "vbd/51712", "51712"}) {
        const auto found = find_device(some, word);
        ASSERT_TRUE(found) << word;
        EXPECT_EQ(found->id, 51712U);
    }
    EXPECT_EQ(find_device(some, "1")->name, "vif1");
    EXPECT_EQ(find_device(some, "vif-0")->name, "vif0");
}

TEST(DeviceName, Refused) {
    EXPECT_NE(find_device(some, "0").error().message.find("several"), std::string::npos);
    EXPECT_NE(find_device(some, "xvdz").error().message.find("xvda, odd, vif0, vif1"), std::string::npos);
    EXPECT_NE(find_device({}, "xvda").error().message.find("it has none"), std::string::npos);
    EXPECT_FALSE(find_device(some, ""));
}

TEST(MemoryBounds, Least) {
    EXPECT_EQ(least_memory_target(4ULL << 20), 4ULL << 20);
    EXPECT_EQ(least_memory_target(64ULL << 20), 32ULL << 20);
    EXPECT_EQ(least_memory_target(1ULL << 30), 64ULL << 20);
}

TEST(MemoryBounds, Check) {
    constexpr std::uint64_t most = 512ULL << 20;
    EXPECT_TRUE(check_memory_target(most, most));
    EXPECT_TRUE(check_memory_target(32ULL << 20, most));
    EXPECT_FALSE(check_memory_target(most + 1, most));
    EXPECT_FALSE(check_memory_target((32ULL << 20) - 1, most));
    EXPECT_FALSE(check_memory_target(0, most));
}

} // namespace
} // namespace parapet::vmm::control
