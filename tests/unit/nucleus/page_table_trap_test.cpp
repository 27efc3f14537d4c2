// SPDX-License-Identifier: Apache-2.0
// Trapped page-table writes: the guest kernel stores to a table that it sees read-only.
#include <gtest/gtest.h>

#include "hypercall-emu/core/alu.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 WRITE_FAULT = abi::PFEC_page_present | abi::PFEC_write_access | abi::PFEC_user_mode;
constexpr u64 ENTRY_FLAGS = Pte::PRESENT | Pte::USER | Pte::ACCESSED;

struct Table {
    explicit Table(FakeVm& vm_in) : vm{vm_in} {}
    FakeVm& vm;

    /// Guest address of the L1 entry that maps `pfn`, and the entry.
    [[nodiscard]] u64 va(u64 pfn) const { return vm.va(vm.l1_pfn(pfn), pfn % 512 * sizeof(Pte)).address; }
    [[nodiscard]] Pte& entry(u64 pfn) const { return vm.at<Pte>(vm.l1_pfn(pfn), pfn % 512 * sizeof(Pte)); }
    [[nodiscard]] Frame& frame(u64 pfn) const { return vm.domain().frames[vm.mfn(pfn)]; }
};

void store_fault(FakeVm& vm, u64 va) {
    vm.domain().vm_assist |= 1ULL << abi::VMASST_TYPE_writable_pagetables;
    vm.vcpu().cr2 = va;
    (void)fault(vm, abi::TRAP_page_fault, WRITE_FAULT);
}

TEST(PageTableTrap, MovReplacesAnEntry) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07}); // mov %rax,(%rdi)
    regs.rdi = table.va(10);
    regs.rax = Pte::make(vm.mfn(11), ENTRY_FLAGS | Pte::RW).raw;
    const u64 references = table.frame(11).references();
    store_fault(vm, regs.rdi);
    EXPECT_EQ(regs.rip, vm.va(0, 3).address);
    EXPECT_EQ(table.entry(10).raw, regs.rax);
    EXPECT_EQ(table.frame(10).references(), 0u);
    EXPECT_EQ(table.frame(11).references(), references + 1);
    EXPECT_EQ(vm.mailbox().counters.ptwr, 1u);
    ASSERT_EQ(vm.machine.pte_writes.back().table, vm.mfn(vm.l1_pfn(10)));
}

TEST(PageTableTrap, XchgClearsAndGivesTheOldEntry) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0x87, 0x07}); // xchg %rax,(%rdi)
    regs.rdi = table.va(10);
    regs.rax = 0;
    const u64 old = table.entry(10).raw;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(regs.rax, old);
    EXPECT_EQ(table.entry(10).raw, 0u);
    EXPECT_EQ(table.frame(10).type_count(), 0u);
    EXPECT_TRUE(vm.vcpu().tlb_stale);
}

TEST(PageTableTrap, CmpxchgComparesFirst) {
    FakeVm vm;
    Table table{vm};
    const std::initializer_list<int> code = {0xf0, 0x48, 0x0f, 0xb1, 0x0f}; // lock cmpxchg %rcx,(%rdi)
    Regs& regs = guest_at(vm, code);
    regs.rdi = table.va(10);
    const u64 old = table.entry(10).raw;
    regs.rax = old ^ Pte::DIRTY;
    regs.rcx = old & ~Pte::RW;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, old);
    EXPECT_EQ(regs.rax, old);
    EXPECT_EQ(regs.rflags & rflags::ZF, 0u);
    EXPECT_EQ(regs.rip, vm.va(0, 5).address);

    guest_at(vm, code);
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, old & ~Pte::RW);
    EXPECT_NE(regs.rflags & rflags::ZF, 0u);
    EXPECT_EQ(table.frame(10).type_count(), 0u);
    EXPECT_EQ(table.frame(10).references(), 1u);
}

TEST(PageTableTrap, LockedBitOperations) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01}); // lock btrq $1,(%rdi)
    regs.rdi = table.va(10);
    const u64 old = table.entry(10).raw;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, old & ~Pte::RW);
    EXPECT_NE(regs.rflags & rflags::CF, 0u);

    guest_at(vm, {0xf0, 0x48, 0x81, 0x27, 0xdf, 0xff, 0xff, 0xff}); // lock andq $~0x20,(%rdi): accessed off
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, old & ~(Pte::RW | Pte::ACCESSED));
}

TEST(PageTableTrap, PartOfAnEntry) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x80, 0x27, 0xfd}); // andb $~2,(%rdi)
    regs.rdi = table.va(10);
    const u64 old = table.entry(10).raw;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, old & ~Pte::RW);

    guest_at(vm, {0x89, 0x47, 0x04}); // mov %eax,4(%rdi): the upper half
    regs.rax = 0x80000000;            // NX
    store_fault(vm, regs.rdi + 4);
    EXPECT_EQ(table.entry(10).raw, (old & ~Pte::RW & 0xffffffff) | Pte::NX);
}

TEST(PageTableTrap, RepStosGoesElementByElement) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0xf3, 0x48, 0xab}); // rep stosq
    regs.rdi = table.va(20);
    regs.rcx = 3;
    regs.rax = 0;
    for (u64 i = 0; i < 3; i++) {
        EXPECT_EQ(regs.rip, vm.va(0).address);
        EXPECT_EQ(regs.rdi, table.va(20 + i));
        store_fault(vm, regs.rdi);
        EXPECT_EQ(table.entry(20 + i).raw, 0u);
    }
    EXPECT_EQ(regs.rcx, 0u);
    EXPECT_EQ(regs.rip, vm.va(0, 3).address);
}

TEST(PageTableTrap, MovsTakesItsSourceFromTheGuest) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0xa5}); // movsq
    const u64 wanted = Pte::make(vm.mfn(31), ENTRY_FLAGS).raw;
    regs.rsi = vm.arg(wanted, 4, 8).address;
    regs.rdi = table.va(30);
    const u64 source = regs.rsi;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(30).raw, wanted);
    EXPECT_EQ(regs.rsi, source + 8);
    EXPECT_EQ(regs.rdi, table.va(31));

    guest_at(vm, {0x48, 0xa5});
    regs.rsi = 0x1000; // not mapped
    const u64 before = table.entry(31).raw;
    store_fault(vm, regs.rdi);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(table.entry(31).raw, before);
}

/// What validation refuses becomes the guest's page fault, with nothing changed.
TEST(PageTableTrap, RefusedEntryIsTheGuestsFault) {
    FakeVm vm;
    Table table{vm};
    const u64 forbidden[] = {
        Pte::make(vm.mfn(vm.l1_pfn(0)), ENTRY_FLAGS | Pte::RW).raw, // a page table, writable
        Pte::make({5}, ENTRY_FLAGS).raw,                            // the nucleus's frame
        Pte::make({1ULL << 30}, ENTRY_FLAGS).raw,                   // no frame at all
    };
    for (const u64 value : forbidden) {
        Regs& regs = guest_at(vm, {0x48, 0x87, 0x07}); // xchg %rax,(%rdi)
        regs.rdi = table.va(10);
        regs.rax = value;
        const u64 old = table.entry(10).raw;
        store_fault(vm, regs.rdi);
        EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault)) << std::hex << value;
        EXPECT_EQ(regs.rax, value);
        EXPECT_EQ(table.entry(10).raw, old);
        EXPECT_EQ(vm.vcpu().info64().arch.cr2, table.va(10));
    }
    EXPECT_EQ(vm.mailbox().counters.ptwr, 0u);
}

TEST(PageTableTrap, ReadOnlyPageThatIsNoTable) {
    FakeVm vm;
    Table table{vm};
    ASSERT_EQ(update_entry(vm.vcpu(), vm.mfn(vm.l1_pfn(12)), 12, Pte::make(vm.mfn(12), ENTRY_FLAGS), false), 0);
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    regs.rdi = vm.va(12).address;
    store_fault(vm, regs.rdi);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
}

TEST(PageTableTrap, StoreMustHitTheFaultingEntry) {
    FakeVm vm;
    Table table{vm};
    const u64 old = table.entry(10).raw;
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    regs.rdi = table.va(11); // the instruction was changed after it faulted
    regs.rax = 0;
    store_fault(vm, table.va(10));
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(table.entry(10).raw, old);

    guest_at(vm, {0x48, 0x89, 0x07});
    regs.rdi = table.va(10) + 4; // across two entries
    store_fault(vm, regs.rdi);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(table.entry(10).raw, old);
}

TEST(PageTableTrap, InstructionAcrossAPageEnd) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07}, 5, PAGE_SIZE - 1);
    regs.rdi = table.va(10);
    regs.rax = 0;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, 0u);
    EXPECT_EQ(regs.rip, vm.va(6, 2).address);
}

TEST(PageTableTrap, InstructionBeforeAnUnmappedPage) {
    FakeVm vm;
    Table table{vm};
    vm.set_mapping_flags(6, 0);
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07}, 5, PAGE_SIZE - 3);
    regs.rdi = table.va(10);
    regs.rax = 0;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, 0u);
    EXPECT_EQ(regs.rip, vm.va(6).address);
}

TEST(PageTableTrap, SingleStepTrapsAfterwards) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    regs.rflags |= rflags::TF;
    regs.rdi = table.va(10);
    regs.rax = 0;
    store_fault(vm, regs.rdi);
    EXPECT_EQ(table.entry(10).raw, 0u);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_debug));
    EXPECT_NE(vm.vcpu().dr[6] & (1 << 14), 0u);
    u64 frame_rip = 0; // rcx, r11, rip
    ASSERT_TRUE(get(vm.vcpu(), frame_rip, {regs.rsp + 16}));
    EXPECT_EQ(frame_rip, vm.va(0, 3).address);
}

// As Xen: only L1 tables are emulated, and only where the guest enabled the assist.
TEST(PageTableTrap, UpperTablesAreNotEmulated) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    Pte& slot = vm.at<Pte>(vm.l2_pfn(), 511 * sizeof(Pte));
    ASSERT_EQ(slot.raw, 0u);
    regs.rdi = vm.va(vm.l2_pfn(), 511 * sizeof(Pte)).address;
    regs.rax = Pte::make(vm.mfn(vm.l1_pfn(0)), ENTRY_FLAGS | Pte::RW).raw;
    store_fault(vm, regs.rdi);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(slot.raw, 0u);
}

TEST(PageTableTrap, NothingIsEmulatedWithoutTheAssist) {
    FakeVm vm;
    Table table{vm};
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    regs.rdi = table.va(10);
    regs.rax = 0;
    const u64 old = table.entry(10).raw;
    vm.vcpu().cr2 = regs.rdi;
    (void)fault(vm, abi::TRAP_page_fault, WRITE_FAULT);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(table.entry(10).raw, old);
}

TEST(PageTableTrap, HoleOfTheRootIsNotTheGuests) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {0x48, 0x89, 0x07});
    Pte& slot = vm.at<Pte>(vm.l4_pfn(), doorbell::HOLE_FIRST_SLOT * sizeof(Pte));
    const u64 old = slot.raw;
    regs.rdi = vm.va(vm.l4_pfn(), doorbell::HOLE_FIRST_SLOT * sizeof(Pte)).address;
    regs.rax = 0;
    store_fault(vm, regs.rdi);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(slot.raw, old);
}

} // namespace
} // namespace parapet::nucleus::test
