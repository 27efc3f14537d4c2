// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/vdev.hpp"

#include <gtest/gtest.h>

namespace parapet::disk {
namespace {

struct Known {
    const char* name;
    VdevNumber number;
};

class Vdev : public testing::TestWithParam<Known> {};

TEST_P(Vdev, NameAndNumberSayTheSame) {
    const auto number = parse_vdev(GetParam().name);
    ASSERT_TRUE(number.ok());
    EXPECT_EQ(*number, GetParam().number);
    EXPECT_EQ(vdev_name(GetParam().number), GetParam().name);
    EXPECT_EQ(*parse_vdev(std::to_string(GetParam().number)), GetParam().number);
}

INSTANTIATE_TEST_SUITE_P(Known, Vdev,
                         testing::Values(Known{"xvda", 51712}, Known{"xvda1", 51713}, Known{"xvdb", 51728},
                                         Known{"xvdp15", 51967}, Known{"xvda16", (1u << 28) + 16},
                                         Known{"xvdq", (1u << 28) + (16 << 8)}, Known{"xvdz", (1u << 28) + (25 << 8)},
                                         Known{"xvdaa", (1u << 28) + (26 << 8)},
                                         Known{"xvdab3", (1u << 28) + (27 << 8) + 3}, Known{"sda", 2048},
                                         Known{"sdb2", 2066}, Known{"sdp15", 2303}, Known{"hda", 768},
                                         Known{"hda1", 769}, Known{"hdb63", 895}, Known{"hdc", 5632},
                                         Known{"hdd2", 5698}));

TEST(VdevNumber, TakesDiskAndPartitionNumbersAndHexadecimal) {
    EXPECT_EQ(*parse_vdev("d0"), 51712u);
    EXPECT_EQ(*parse_vdev("d1p3"), 51731u);
    EXPECT_EQ(*parse_vdev("d0p0"), 51712u);
    EXPECT_EQ(*parse_vdev("d536p37"), (1u << 28) + (536 << 8) + 37);
    EXPECT_EQ(*parse_vdev("0xca00"), 51712u);
    EXPECT_EQ(*parse_vdev("51712"), 51712u);
    EXPECT_EQ(vdev_name(4), "4");
    EXPECT_EQ(vdev_name(3 << 8 | 0x80), "896"); // no third disk on that controller
}

TEST(VdevNumber, RefusesWhatIsNoDevice) {
    for (const char* text : {"",
                             "xvd",
                             "xvda0",
                             "xvda01",
                             "xvda256",
                             "xvdA",
                             "xvda 1",
                             "xvda-1",
                             "sdq",
                             "sda16",
                             "hde",
                             "hda64",
                             "d",
                             "dp1",
                             "d1p",
                             "d1p256",
                             "d1048576",
                             "d01",
                             "da",
                             "fd0",
                             "0",
                             "-1",
                             "0x",
                             "0xzz",
                             "12abc",
                             "4294967296",
                             "2147483648",
                             "xvdzzzzzzzzzzzzzzzzzzzzzzzzz",
                             "xvda99999999999999999999",
                             "vda"}) {
        EXPECT_FALSE(parse_vdev(text).ok()) << text;
    }
}

TEST(VdevNumber, NumbersWholeXvdDisks) {
    for (unsigned index = 0; index < 2000; ++index) {
        const auto again = parse_vdev(vdev_name(xvd_disk(index)));
        ASSERT_TRUE(again.ok());
        EXPECT_EQ(*again, xvd_disk(index));
    }
}

} // namespace
} // namespace parapet::disk
