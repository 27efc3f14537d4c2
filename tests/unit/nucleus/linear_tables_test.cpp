// SPDX-License-Identifier: Apache-2.0
// Linear page tables: tables that name themselves, read-only, where the domain has that option.
#include <gtest/gtest.h>

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "pv-abi/mmu.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 FLAGS = Pte::PRESENT | Pte::USER | Pte::ACCESSED;
constexpr unsigned SLOT = 4; // of the root: nothing is there
constexpr u64 WINDOW = u64{SLOT} << 39;

struct LinearTables : ::testing::Test {
    FakeVm vm;

    LinearTables() { vm.domain().linear_tables = true; }
    void TearDown() override { expect_memory_invariants(vm); }
    Status update(Mfn table, unsigned index, u64 value, bool preserve_ad = false) {
        return update_entry(vm.vcpu(), table, index, Pte{value}, preserve_ad);
    }
    Mfn root() { return vm.vcpu().kernel_root; }
    Status link(u64 flags = FLAGS) { return update(root(), SLOT, Pte::make(root(), flags).raw); }
    u64 references(Mfn mfn) { return vm.domain().frames[mfn].references(); }
};

TEST_F(LinearTables, AreRefusedWithoutTheOption) {
    vm.domain().linear_tables = false;
    EXPECT_EQ(link(), -abi::XEN_EINVAL);
    EXPECT_EQ(link(FLAGS | Pte::RW), -abi::XEN_EINVAL);
}

TEST_F(LinearTables, HoldNoReference) {
    const u64 before = references(root());
    ASSERT_EQ(link(), 0);
    EXPECT_EQ(references(root()), before);
    ASSERT_EQ(update(root(), SLOT, 0), 0);
    EXPECT_EQ(references(root()), before);
}

TEST_F(LinearTables, NeverBecomeWritable) {
    EXPECT_EQ(link(FLAGS | Pte::RW), -abi::XEN_EINVAL);
    ASSERT_EQ(link(), 0);
    EXPECT_EQ(link(FLAGS | Pte::RW), -abi::XEN_EINVAL); // the same frame: nothing to acquire, but much to refuse
    EXPECT_EQ(update(root(), SLOT, Pte::make(root(), FLAGS | Pte::RW).raw, true), -abi::XEN_EINVAL);
    EXPECT_EQ(vm.machine.table(root())[SLOT].raw & Pte::RW, 0u);
    EXPECT_EQ(link(FLAGS | Pte::PSE), -abi::XEN_EINVAL);
    EXPECT_EQ(link(FLAGS | Pte::NX | 1ULL << 9), 0);
}

TEST_F(LinearTables, OnlyNameThemselves) {
    constexpr u64 OTHER = 20;
    ASSERT_EQ(vm.call(do_update_va_mapping, vm.va(OTHER).address, Pte::make(vm.mfn(OTHER), FLAGS).raw, 0), 0);
    ASSERT_EQ(pin_table(vm.vcpu(), vm.mfn(OTHER), FrameType::l4), 0);
    EXPECT_EQ(update(root(), SLOT, Pte::make(vm.mfn(OTHER), FLAGS).raw), -abi::XEN_EINVAL);
    EXPECT_EQ(update(vm.mfn(OTHER), SLOT, Pte::make(root(), FLAGS).raw), -abi::XEN_EINVAL);
    EXPECT_EQ(unpin_table(vm.vcpu(), vm.mfn(OTHER)), 0);
}

TEST_F(LinearTables, ComeAndGoWithTheirTable) {
    constexpr u64 TABLE = 20;
    ASSERT_EQ(vm.call(do_update_va_mapping, vm.va(TABLE).address, Pte::make(vm.mfn(TABLE), FLAGS).raw, 0), 0);
    const u64 before = references(vm.mfn(TABLE));
    for (const FrameType type : {FrameType::l2, FrameType::l3, FrameType::l4}) {
        for (const unsigned index : {0u, 100u, 511u}) {
            vm.at<u64>(TABLE, index * 8) = Pte::make(vm.mfn(TABLE), FLAGS | Pte::RW).raw;
            EXPECT_EQ(pin_table(vm.vcpu(), vm.mfn(TABLE), type), -abi::XEN_EINVAL);
            vm.at<u64>(TABLE, index * 8) = Pte::make(vm.mfn(TABLE), FLAGS).raw;
            ASSERT_EQ(pin_table(vm.vcpu(), vm.mfn(TABLE), type), 0);
            ASSERT_EQ(unpin_table(vm.vcpu(), vm.mfn(TABLE)), 0);
            EXPECT_EQ(references(vm.mfn(TABLE)), before);
            vm.at<u64>(TABLE, index * 8) = 0;
        }
    }
}

TEST_F(LinearTables, AreNotFollowedByTheNucleus) {
    ASSERT_EQ(link(), 0);
    const u64 va = vm.va(0).address;
    // What the processor sees there: the last-level table of `va`, and the root itself.
    for (const u64 at :
         {WINDOW | (va & 0xfffffffff000) >> 9, WINDOW | u64{SLOT} << 30 | u64{SLOT} << 21 | u64{SLOT} << 12,
          WINDOW | doorbell::HOLE_FIRST_SLOT << 30}) {
        u64 word = 0;
        EXPECT_FALSE(walk(vm.domain(), root(), {at}).mapped);
        EXPECT_EQ(find_l1_slot(vm.domain(), root(), {at}).slot, nullptr);
        EXPECT_FALSE(copy_from_guest(vm.vcpu(), &word, {at}, sizeof(word)));
        EXPECT_FALSE(copy_to_guest(vm.vcpu(), {at}, &word, sizeof(word)));
        EXPECT_EQ(vm.call(do_update_va_mapping, at, 0, 0), -abi::XEN_EINVAL);
    }
}

} // namespace
} // namespace parapet::nucleus::test
