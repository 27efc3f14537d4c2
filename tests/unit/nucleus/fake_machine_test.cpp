// SPDX-License-Identifier: Apache-2.0
// The harness itself: the core accepts its domain, and guest addresses lead where they should.
#include <gtest/gtest.h>

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/start.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

TEST(FakeMachine, StartsAValidatedDomain) {
    FakeVm vm;
    EXPECT_FALSE(vm.domain().dead);
    EXPECT_TRUE(vm.machine.requests.empty());
    EXPECT_EQ(vm.vcpu().kernel_root, vm.mfn(vm.l4_pfn()));
    EXPECT_EQ(vm.domain().frames[vm.mfn(vm.l4_pfn())].type(), FrameType::l4);
    EXPECT_EQ(vm.domain().frames[vm.mfn(vm.l1_pfn(0))].type(), FrameType::l1);
    EXPECT_EQ(vm.domain().frames[vm.mfn(0)].type(), FrameType::writable);
    EXPECT_NE(vm.mfn(3).number, FakeVm::FIRST_MFN + 3);
}

TEST(FakeMachine, GuestAddressesLeadToTheirFrames) {
    FakeVm vm;
    const u64 value = 0x1122334455667788;
    // Across a page boundary: two frames that are not neighbours.
    ASSERT_TRUE(put(vm.vcpu(), vm.va(4, PAGE_SIZE - 4), value));
    EXPECT_EQ(vm.at<u32>(4, PAGE_SIZE - 4), 0x55667788u);
    EXPECT_EQ(vm.at<u32>(5), 0x11223344u);
    u64 back = 0;
    ASSERT_TRUE(get(vm.vcpu(), back, vm.va(4, PAGE_SIZE - 4)));
    EXPECT_EQ(back, value);
}

TEST(FakeMachine, RefusesWhatTheGuestMayNotTouch) {
    FakeVm vm;
    u64 word = 0;
    EXPECT_FALSE(get(vm.vcpu(), word, {0x1000}));
    EXPECT_FALSE(get(vm.vcpu(), word, {HOLE_START}));
    EXPECT_FALSE(get(vm.vcpu(), word, {0x0000800000000000}));
    EXPECT_TRUE(get(vm.vcpu(), word, vm.va(vm.l4_pfn())));
    EXPECT_FALSE(put(vm.vcpu(), vm.va(vm.l4_pfn()), word));
}

TEST(FakeMachine, ManyPages) {
    FakeVm vm({.nr_pages = 2048});
    const u32 value = 77;
    ASSERT_TRUE(put(vm.vcpu(), vm.va(1500), value));
    EXPECT_EQ(vm.at<u32>(1500), 77u);
}

} // namespace
} // namespace parapet::nucleus::test
