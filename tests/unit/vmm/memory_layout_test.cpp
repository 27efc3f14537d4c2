// SPDX-License-Identifier: Apache-2.0
// Where the nucleus and the domain lie in the VM's memory, whatever the domain's size.
#include "vmm/nucleus_loader.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

using namespace doorbell;

class EverySize : public testing::TestWithParam<std::uint64_t> {};

TEST_P(EverySize, NucleusFitsIntoItsBound) {
    const std::uint64_t pages = GetParam() / page_size;
    for (const Home home : {Home::ring0, Home::ring3}) {
        MachineLayout layout;
        layout.frames = nucleus_frames(pages) + pages;
        auto ram = GuestRam::create(layout);
        ASSERT_TRUE(ram) << ram.error().message;
        const NucleusPlace place = load_nucleus(*ram, {home, M2P_SLOT_ABI, 1, pages});
        EXPECT_LE(place.domain_first, nucleus_frames(pages));
        // As the nucleus takes frames before any is known to lie beyond the gap.
        EXPECT_LE(place.domain_first, MachineLayout::max_low_frames);
        EXPECT_EQ(place.boot->max_mfn, layout.end());
        EXPECT_LE(place.boot->pool_end_mfn, place.boot->domain_first_mfn);
        EXPECT_LT(ram->resident(0, place.domain_first), (64ULL << 20)) << "the tables are not filled here";
    }
}

constexpr std::uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;
INSTANTIATE_TEST_SUITE_P(Sizes, EverySize,
                         testing::Values(128 * kib, 132 * kib, 1 * mib, 4 * mib, 63 * mib, 64 * mib, 256 * mib,
                                         512 * mib, 1 * gib, 1535 * mib, 1536 * mib, 1537 * mib, 2 * gib, 3 * gib - mib,
                                         3 * gib - 4 * kib, 3 * gib, 3 * gib + 4 * kib, 4 * gib, 5 * gib, 8 * gib,
                                         16 * gib, 33 * gib, 64 * gib, 256 * gib));

TEST(MachineLayout, FramesAndOffsetsAgree) {
    for (const std::uint64_t frames :
         {std::uint64_t{1}, MachineLayout::max_low_frames - 1, std::uint64_t{MachineLayout::max_low_frames},
          MachineLayout::max_low_frames + 1, MachineLayout::max_low_frames * 2}) {
        MachineLayout layout;
        layout.frames = frames;
        for (const std::uint64_t n : {std::uint64_t{0}, frames / 2, frames - 1}) {
            ASSERT_TRUE(layout.is_ram(layout.mfn_of(n)));
            ASSERT_EQ(layout.offset_of(layout.mfn_of(n)), n * page_size);
        }
        EXPECT_EQ(layout.mfn_of(frames - 1) + 1, layout.end());
        EXPECT_FALSE(layout.is_ram(layout.end()));
        EXPECT_FALSE(layout.is_ram(~std::uint64_t{0}));
        EXPECT_FALSE(layout.is_ram(MachineLayout::high_start - 1));
    }
}

TEST(GuestRam, RefusesFramesThatAreNot) {
    MachineLayout layout;
    layout.frames = 16;
    auto ram = GuestRam::create(layout);
    ASSERT_TRUE(ram);
    EXPECT_EQ(ram->frame(16), nullptr);
    EXPECT_EQ(ram->frame(~std::uint64_t{0}), nullptr);
    EXPECT_FALSE(ram->release(16));
    EXPECT_FALSE(ram->release(~std::uint64_t{0}));
}

TEST(GuestRam, ReleasedFrameIsGoneAndReadsAsZeroes) {
    MachineLayout layout;
    layout.frames = 16;
    auto ram = GuestRam::create(layout);
    ASSERT_TRUE(ram);
    *ram->frame(3) = std::byte{7};
    *ram->frame(4) = std::byte{8};
    EXPECT_EQ(ram->resident(0, 16), 2 * page_size);
    EXPECT_TRUE(ram->release(3));
    EXPECT_EQ(ram->resident(0, 16), page_size);
    EXPECT_EQ(*ram->frame(3), std::byte{0});
    EXPECT_EQ(*ram->frame(4), std::byte{8});
}

TEST(GuestRam, AbsurdSizeIsOneSentence) {
    MachineLayout layout;
    layout.frames = 1ULL << 50;
    const auto ram = GuestRam::create(layout);
    ASSERT_FALSE(ram);
    EXPECT_NE(ram.error().message.find("--memory"), std::string::npos);
}

} // namespace
} // namespace parapet::vmm
