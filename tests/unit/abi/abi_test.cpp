// SPDX-License-Identifier: Apache-2.0
// Holds every size, offset, sign and value in pv-abi/ against Xen's public headers, for both guest widths.
#include "tests/unit/abi/facts.hpp"

#include "pv-abi/arch.hpp"
#include "pv-abi/cpuid.hpp"
#include "pv-abi/memory.hpp"
#include "pv-abi/xenstore.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>

extern "C" {
using RawLayout = std::array<uint32_t, 3>; // size, offset, is signed
extern const RawLayout xen_layout64_begin[], xen_layout64_end[], xen_layout32_begin[], xen_layout32_end[];
extern const int64_t xen_constants64_begin[], xen_constants64_end[], xen_constants32_begin[], xen_constants32_end[];
extern const uint8_t xen_prefix_begin[], xen_prefix_end[];
}

namespace parapet::abi_test {
namespace {

void compare_layout(const std::vector<LayoutFact>& ours, std::span<const RawLayout> xen) {
    ASSERT_GT(ours.size(), 400u);
    ASSERT_EQ(ours.size(), xen.size());
    for (size_t i = 0; i < xen.size(); ++i) {
        EXPECT_EQ(ours[i].size, xen[i][0]) << "size of " << ours[i].name;
        EXPECT_EQ(ours[i].offset, xen[i][1]) << "offset of " << ours[i].name;
        EXPECT_EQ(ours[i].is_signed, xen[i][2]) << "signedness of " << ours[i].name;
    }
}

void compare_constants(const std::vector<ConstantFact>& ours, std::span<const int64_t> xen) {
    ASSERT_GT(ours.size(), 400u);
    ASSERT_EQ(ours.size(), xen.size());
    for (size_t i = 0; i < xen.size(); ++i) {
        EXPECT_EQ(ours[i].value, xen[i]) << ours[i].name;
    }
}

TEST(AbiLayout, MatchesXenFor64BitGuests) {
    compare_layout(our_layout<64>(), {xen_layout64_begin, xen_layout64_end});
}

TEST(AbiLayout, MatchesXenFor32BitGuests) {
    compare_layout(our_layout<32>(), {xen_layout32_begin, xen_layout32_end});
}

TEST(AbiConstants, MatchXenFor64BitGuests) {
    compare_constants(our_constants<64>(), {xen_constants64_begin, xen_constants64_end});
}

TEST(AbiConstants, MatchXenFor32BitGuests) {
    compare_constants(our_constants<32>(), {xen_constants32_begin, xen_constants32_end});
}

TEST(AbiConstants, EmulatePrefixMatchesXen) {
    EXPECT_TRUE(std::ranges::equal(abi::XEN_EMULATE_PREFIX, std::span(xen_prefix_begin, xen_prefix_end)));
}

TEST(AbiFunctions, PaeRootsRoundTripThroughCr3) {
    for (const uint32_t pfn : {0u, 1u, 0xFFFFFu, 0x100000u, 0x123456u, 0xFFFFFFu}) {
        EXPECT_EQ(abi::x32::xen_cr3_to_pfn(abi::x32::xen_pfn_to_cr3(pfn)), pfn);
    }
    EXPECT_EQ(abi::x32::xen_pfn_to_cr3(0x12345), 0x12345000u);
    EXPECT_EQ(abi::x32::xen_pfn_to_cr3(0x112345), 0x12345001u);
    EXPECT_EQ(abi::x64::xen_pfn_to_cr3(0x112345), 0x112345000u);
    EXPECT_EQ(abi::x64::xen_cr3_to_pfn(0x112345000u), 0x112345u);
}

TEST(AbiFunctions, MemoryFlagsCarryAddressBitsAndNode) {
    const uint32_t flags = abi::XENMEMF_address_bits(32) | abi::XENMEMF_exact_node(3);
    EXPECT_EQ(abi::XENMEMF_get_address_bits(flags), 32u);
    EXPECT_EQ(abi::XENMEMF_get_node(flags), 3u);
    EXPECT_NE(flags & abi::XENMEMF_exact_node_request, 0u);
    EXPECT_EQ(abi::XENMEMF_get_node(0), 0xffu); // none
}

TEST(AbiFunctions, XenstoreIndexWrapsAtTheRing) {
    EXPECT_EQ(abi::MASK_XENSTORE_IDX(1023), 1023u);
    EXPECT_EQ(abi::MASK_XENSTORE_IDX(1024), 0u);
    EXPECT_EQ(abi::MASK_XENSTORE_IDX(0xFFFFFFFF), 1023u);
}

TEST(AbiTypes, A64BitFieldOfA32BitGuestReadsAndWritesAsANumber) {
    struct {
        uint32_t before;
        abi::u64_field<uint32_t> field;
        uint32_t after;
    } record = {1, 2, 3};
    static_assert(sizeof(record) == 16 && alignof(decltype(record)) == 4);
    record.field = 0x1122334455667788;
    EXPECT_EQ(record.field + 1, 0x1122334455667789u);
    EXPECT_EQ(record.before, 1u);
    EXPECT_EQ(record.after, 3u);
}

} // namespace
} // namespace parapet::abi_test
