// SPDX-License-Identifier: Apache-2.0
// Which bits of a page-table entry are the guest's: at every level, by every way of writing one.
#include <gtest/gtest.h>

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "pv-abi/mmu.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 FLAGS = Pte::PRESENT | Pte::USER | Pte::ACCESSED | Pte::DIRTY;
constexpr u64 PAGE = 10;

struct PageBits : ::testing::Test {
    FakeVm vm;

    /// The slot of `level` that translates the address of PAGE.
    Pte& slot(unsigned level) {
        Mfn table = vm.vcpu().kernel_root;
        for (unsigned at = 4; at > level; at--)
            table = vm.machine.table(table)[table_index(vm.va(PAGE).address, at)].mfn();
        return vm.machine.table(table)[table_index(vm.va(PAGE).address, level)];
    }
    u64 machine_address(unsigned level) {
        return static_cast<u64>(reinterpret_cast<u8*>(&slot(level)) - vm.machine.directmap);
    }
    Status update(unsigned level, u64 value, u64 command = abi::MMU_NORMAL_PT_UPDATE) {
        const abi::mmu_update request{machine_address(level) | command, value};
        return vm.call(do_mmu_update, vm.arg(request).address, 1, 0, abi::DOMID_SELF);
    }
    Status update_va(u64 value) { return vm.call(do_update_va_mapping, vm.va(PAGE).address, value, 0); }
};

TEST_F(PageBits, SoftwareBitsAreKeptAtEveryLevel) {
    for (unsigned level = 1; level <= 4; level++) {
        for (unsigned bit : {9, 10, 11, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63}) {
            const u64 value = slot(level).raw ^ 1ULL << bit;
            ASSERT_EQ(update(level, value), 0) << "bit " << bit << ", level " << level;
            EXPECT_EQ(slot(level).raw, value);
            ASSERT_EQ(update(level, value ^ 1ULL << bit), 0);
        }
    }
}

TEST_F(PageBits, SoftwareBitsPassWithANewFrameToo) {
    for (unsigned bit = 52; bit <= 62; bit++) {
        const u64 value = Pte::make(vm.mfn(PAGE + 1 + bit % 2), FLAGS | Pte::RW).raw | 1ULL << bit;
        ASSERT_EQ(update_va(value), 0) << bit;
        EXPECT_EQ(slot(1).raw, value);
    }
}

TEST_F(PageBits, SoftwareBitsSurviveWithAccessedAndDirty) {
    constexpr u64 SAVED_DIRTY = 1ULL << 58;
    const u64 old = slot(1).raw | Pte::ACCESSED | Pte::DIRTY;
    slot(1).raw = old;
    const u64 value = (old & ~(Pte::ACCESSED | Pte::DIRTY | Pte::RW)) | SAVED_DIRTY;
    ASSERT_EQ(update(1, value, abi::MMU_PT_UPDATE_PRESERVE_AD), 0);
    EXPECT_EQ(slot(1).raw, value | Pte::ACCESSED | Pte::DIRTY);
}

TEST_F(PageBits, SoftwareBitsByATrappedWrite) {
    vm.domain().vm_assist |= 1ULL << abi::VMASST_TYPE_writable_pagetables;
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07}); // mov %rax,(%rdi)
    regs.rdi = vm.va(vm.l1_pfn(PAGE), PAGE * sizeof(Pte)).address;
    regs.rax = Pte::make(vm.mfn(PAGE), FLAGS).raw | 1ULL << 58 | 1ULL << 52;
    vm.vcpu().cr2 = regs.rdi;
    (void)fault(vm, abi::TRAP_page_fault, abi::PFEC_page_present | abi::PFEC_write_access | abi::PFEC_user_mode);
    EXPECT_EQ(regs.rip, vm.va(0, 3).address);
    EXPECT_EQ(slot(1).raw, regs.rax);
}

TEST_F(PageBits, SoftwareBitsInATableThatIsPinned) {
    constexpr u64 TABLE = 20;
    ASSERT_EQ(vm.call(do_update_va_mapping, vm.va(TABLE).address, Pte::make(vm.mfn(TABLE), FLAGS).raw, 0), 0);
    const u64 value = Pte::make(vm.mfn(PAGE), FLAGS).raw | 0x7ffULL << 52;
    vm.at<u64>(TABLE) = value;
    EXPECT_EQ(pin_table(vm.vcpu(), vm.mfn(TABLE), FrameType::l1), 0);
    EXPECT_EQ(vm.at<u64>(TABLE), value);
}

TEST_F(PageBits, CacheAttributesOfAPageAreTheGuests) {
    for (u64 attributes = 1; attributes < 8; attributes++) {
        const u64 bits = ((attributes & 1) != 0 ? Pte::PWT : 0) | ((attributes & 2) != 0 ? Pte::PCD : 0) |
                         ((attributes & 4) != 0 ? Pte::PAT : 0);
        const u64 value = Pte::make(vm.mfn(PAGE), FLAGS | Pte::RW).raw | bits;
        ASSERT_EQ(update_va(value), 0);
        EXPECT_EQ(slot(1).raw, value);
    }
}

TEST_F(PageBits, TablesTakeNoLargePagesNoAttributesNoGlobalBit) {
    for (unsigned level = 2; level <= 4; level++) {
        for (const u64 bit : {Pte::PSE, Pte::PWT, Pte::PCD, Pte::GLOBAL})
            EXPECT_EQ(update(level, slot(level).raw | bit), -abi::XEN_EINVAL) << bit << ", level " << level;
    }
}

TEST_F(PageBits, TheGlobalBitIsDropped) {
    const u64 value = Pte::make(vm.mfn(PAGE), FLAGS).raw;
    ASSERT_EQ(update_va(value | Pte::GLOBAL), 0);
    EXPECT_EQ(slot(1).raw, value);
}

TEST_F(PageBits, AnEntryThatIsNotPresentMaySayAnything) {
    ASSERT_EQ(update_va(~u64{Pte::PRESENT}), 0);
    EXPECT_EQ(slot(1).raw, ~u64{Pte::PRESENT});
    ASSERT_EQ(update_va(Pte::make(vm.mfn(PAGE), FLAGS | Pte::RW).raw), 0);
}

} // namespace
} // namespace parapet::nucleus::test
