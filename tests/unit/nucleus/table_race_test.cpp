// SPDX-License-Identifier: Apache-2.0
// Page-table updates in the middle: the processor marks an entry while the core replaces it, and every state that a
// walker could see in between is one that holds its references.
#include <gtest/gtest.h>

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/mmu.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/guest_code.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 MARKS = Pte::ACCESSED | Pte::DIRTY, READ = Pte::PRESENT | Pte::USER, WRITE = READ | Pte::RW;
constexpr u64 PFN = 20;

class TableRace : public ::testing::Test {
protected:
    FakeVm vm;
    Pte* const slot = vm.machine.table(vm.mfn(vm.l1_pfn(PFN))) + PFN;
    const u64 slot_address = vm.mfn(vm.l1_pfn(PFN)).address() + PFN * sizeof(Pte);
    unsigned lost = 0;

    /// The processor sets accessed and dirty just before the next `times` exchanges.
    void mark(unsigned times) {
        vm.machine.on_replace_pte = [this, times](Pte* at) {
            if (at != slot || lost == times)
                return;
            lost++;
            at->raw = (at->raw & ~MARKS) | (lost % 2 != 0 ? MARKS : Pte::ACCESSED); // another value each time
        };
    }
    Status update(u64 value, unsigned command) {
        const mmu_update request{slot_address | command, value};
        return vm.call(do_mmu_update, vm.arg(request).address, 1, 0, DOMID_SELF);
    }
    void set(u64 flags) { ASSERT_EQ(update(Pte::make(vm.mfn(PFN), flags).raw, MMU_NORMAL_PT_UPDATE), 0); }
};

TEST_F(TableRace, MarksOfTheProcessorAreKeptWhereTheGuestAsksForIt) {
    set(WRITE);
    mark(3);
    const Pte moved = Pte::make(vm.mfn(PFN + 1), WRITE);
    ASSERT_EQ(update(moved.raw, MMU_PT_UPDATE_PRESERVE_AD), 0);
    EXPECT_EQ(lost, 3u) << "the exchange was repeated";
    EXPECT_EQ(slot->raw, moved.raw | MARKS);
    expect_memory_invariants(vm);
}

TEST_F(TableRace, MarksAreOverwrittenByAPlainUpdate) {
    set(WRITE);
    mark(2);
    const Pte moved = Pte::make(vm.mfn(PFN + 1), WRITE);
    ASSERT_EQ(update(moved.raw, MMU_NORMAL_PT_UPDATE), 0);
    EXPECT_EQ(lost, 2u);
    EXPECT_EQ(slot->raw, moved.raw);
    expect_memory_invariants(vm);
}

TEST_F(TableRace, AnUpdateInPlaceAndOneThatTakesAwayAreRepeatedToo) {
    set(WRITE);
    mark(1);
    ASSERT_EQ(update(Pte::make(vm.mfn(PFN), WRITE | Pte::NX).raw, MMU_PT_UPDATE_PRESERVE_AD), 0);
    EXPECT_EQ(slot->raw, Pte::make(vm.mfn(PFN), WRITE | Pte::NX | MARKS).raw);
    lost = 0;
    mark(1);
    ASSERT_EQ(update(0, MMU_PT_UPDATE_PRESERVE_AD), 0);
    EXPECT_EQ(lost, 1u);
    EXPECT_EQ(slot->raw, 0u) << "what is not present keeps no marks";
    expect_memory_invariants(vm);
}

/// `lock btr` of the writable bit, as kernels write-protect a page that may be in use by another processor.
TEST_F(TableRace, ATrappedReadModifyWriteKeepsTheMarks) {
    set(WRITE);
    Regs& regs = guest_at(vm, {0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01}); // lock btrq $1,(%rdi)
    vm.domain().vm_assist = 1ULL << VMASST_TYPE_writable_pagetables;
    regs.rdi = vm.va(vm.l1_pfn(PFN), PFN * sizeof(Pte)).address;
    vm.vcpu().cr2 = regs.rdi;
    mark(1);
    const u64 rip = regs.rip;
    fault(vm, TRAP_page_fault, PFEC_page_present | PFEC_write_access | PFEC_user_mode);
    ASSERT_EQ(regs.rip, rip + 6) << "emulated";
    EXPECT_EQ(lost, 1u);
    EXPECT_EQ(slot->raw, Pte::make(vm.mfn(PFN), READ | MARKS).raw);
    expect_memory_invariants(vm);
}

/// A guest access by the core marks the entry as the processor would; a race for that loses nothing.
TEST_F(TableRace, ACopyThatMarksAnEntryDoesNotUndoWhatComesInBetween) {
    set(WRITE);
    mark(1);
    const u64 value = 7;
    ASSERT_TRUE(put(vm.vcpu(), vm.va(PFN), value));
    EXPECT_EQ(slot->raw & MARKS, MARKS);
    EXPECT_EQ(vm.at<u64>(PFN), 7u);
}

/// When an entry appears in a table that may be walked, what it points at has its type and its reference; when it goes,
/// they are still held.
TEST_F(TableRace, EveryIntermediateStateHoldsItsReferences) {
    unsigned stores = 0;
    const auto backed = [&](Pte entry, unsigned level) {
        const Frame frame = vm.domain().frames[entry.mfn()];
        EXPECT_GT(frame.references(), 0u);
        const FrameType last = entry.writable() ? FrameType::writable : frame.type();
        EXPECT_EQ(frame.type(), level > 1 ? table_type(level - 1) : last);
    };
    vm.machine.on_write_pte = [&](Pte* at, Pte value) {
        const u64 offset = static_cast<u64>(reinterpret_cast<u8*>(at) - vm.machine.directmap);
        const Frame table = vm.domain().frames[Mfn{offset >> PAGE_SHIFT}];
        if (table.owner() != FrameOwner::domain || !table.is(Frame::VALIDATED))
            return;
        const unsigned level = static_cast<unsigned>(table.type()) - static_cast<unsigned>(FrameType::l1) + 1;
        stores++;
        for (const Pte entry : {*at, value}) {
            if (entry.present())
                backed(entry, level);
        }
    };
    // A page changes from data to a table and back, in the table that maps it and two levels above.
    set(READ);
    fill_bytes(vm.frame(vm.mfn(PFN)), 0, PAGE_SIZE);
    vm.at<Pte>(PFN) = Pte::make(vm.mfn(PFN + 1), WRITE);
    const u64 l2_slot = vm.mfn(vm.l2_pfn()).address() + 3 * sizeof(Pte);
    const mmu_update requests[] = {{l2_slot, Pte::make(vm.mfn(PFN), WRITE).raw}, // as a table
                                   {slot_address, 0},
                                   {slot_address, Pte::make(vm.mfn(PFN), READ).raw},
                                   {l2_slot, 0},
                                   {slot_address, Pte::make(vm.mfn(PFN), WRITE).raw}}; // and data again
    ASSERT_EQ(vm.call(do_mmu_update, vm.arg(requests).address, std::size(requests), 0, DOMID_SELF), 0);
    EXPECT_EQ(stores, 1 + std::size(requests));
    expect_memory_invariants(vm);
}

/// A table that another processor changes between two reads of the core: each entry is used as it was read, once.
TEST_F(TableRace, ArgumentsAreReadOnce) {
    const mmu_update harmless{slot_address, Pte::make(vm.mfn(PFN), READ).raw};
    const mmu_update harmful{slot_address, Pte::make(vm.mfn(vm.l4_pfn()), WRITE).raw};
    const u64 at = vm.arg(harmless).address;
    unsigned reads = 0;
    vm.machine.watch_reads(vm.nr_frames() * PAGE_SIZE);
    vm.machine.on_read = [&](const u8* from, size_t) {
        if (from == vm.frame(vm.mfn(1)) && reads++ == 1)
            vm.arg(harmful);
    };
    ASSERT_EQ(vm.call(do_mmu_update, at, 1, 0, DOMID_SELF), 0);
    EXPECT_EQ(reads, 1u);
    EXPECT_EQ(slot->raw & ~MARKS, harmless.val);
}

} // namespace
} // namespace parapet::nucleus::test
