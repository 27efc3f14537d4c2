// SPDX-License-Identifier: Apache-2.0
// I/O memory: frames that are no RAM read as all ones and take writes, are out of ring 3's reach, and nothing else.
#include <gtest/gtest.h>

#include "hypercall-emu/core/alu.hpp"
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/io_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/mmu.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/guest_code.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 FLAGS = Pte::PRESENT | Pte::USER | Pte::PCD;
constexpr u64 CHIPSET = 0xfed80; // what Linux reads on AMD processors
constexpr u64 PAGE = 10;
constexpr u64 READ_FAULT = abi::PFEC_page_present | abi::PFEC_user_mode;
constexpr u64 WRITE_FAULT = READ_FAULT | abi::PFEC_write_access;
constexpr u64 ONES = ~0ULL;

struct IoMemory : ::testing::Test {
    FakeVm vm;

    Pte& slot(u64 pfn = PAGE) { return vm.at<Pte>(vm.l1_pfn(pfn), pfn % 512 * sizeof(Pte)); }
    Status map(u64 mfn, u64 flags = FLAGS | Pte::RW, u64 pfn = PAGE) {
        return vm.call(do_update_va_mapping, vm.va(pfn).address, Pte::make({mfn}, flags).raw, 0);
    }
    /// Run one instruction whose operand, 8 bytes into the page, is I/O memory. True: it was emulated to its end.
    bool run(std::initializer_list<int> code, u64 error, u64 offset = 8) {
        Regs& regs = guest_at(vm, code);
        regs.rdi = regs.rsi = vm.va(PAGE, offset).address;
        vm.vcpu().cr2 = regs.rdi;
        (void)fault(vm, abi::TRAP_page_fault, error);
        return regs.rip == vm.va(0, code.size()).address;
    }
    Regs& regs() { return *vm.vcpu().regs; }
};

TEST_F(IoMemory, TheGuestSeesItsFrameAndRing3NeverReachesIt) {
    const u64 writable = vm.domain().frames[vm.mfn(PAGE)].type_count();
    ASSERT_EQ(map(CHIPSET), 0);
    EXPECT_EQ(slot().mfn().number, CHIPSET);
    EXPECT_EQ(slot().raw & (FLAGS | Pte::RW), Pte::PRESENT | Pte::PCD | Pte::RW);
    EXPECT_EQ(vm.domain().frames[vm.mfn(PAGE)].type_count(), writable - 1);
    EXPECT_EQ(vm.domain().io_mappings, 1u);
    expect_memory_invariants(vm);
    ASSERT_EQ(map(vm.mfn(PAGE).number, Pte::PRESENT | Pte::RW), 0);
    EXPECT_EQ(vm.domain().io_mappings, 0u);
    EXPECT_NE(slot().raw & Pte::USER, 0u);
    expect_memory_invariants(vm);
}

TEST_F(IoMemory, ReadsOfEveryWidthGiveAllOnes) {
    ASSERT_EQ(map(CHIPSET), 0);
    regs().rax = 0x1234567890abcdef;
    EXPECT_TRUE(run({0x8a, 0x07}, READ_FAULT)); // mov (%rdi),%al
    EXPECT_EQ(regs().rax, 0x1234567890abcdffu);
    EXPECT_TRUE(run({0x66, 0x8b, 0x07}, READ_FAULT)); // mov (%rdi),%ax
    EXPECT_EQ(regs().rax, 0x1234567890abffffu);
    EXPECT_TRUE(run({0x8b, 0x07}, READ_FAULT)); // mov (%rdi),%eax
    EXPECT_EQ(regs().rax, 0xffffffffu);
    EXPECT_TRUE(run({0x48, 0x8b, 0x07}, READ_FAULT)); // mov (%rdi),%rax
    EXPECT_EQ(regs().rax, ONES);
    EXPECT_TRUE(run({0x0f, 0xb6, 0x0f}, READ_FAULT)); // movzbl (%rdi),%ecx
    EXPECT_EQ(regs().rcx, 0xffu);
    EXPECT_TRUE(run({0x48, 0x0f, 0xb7, 0x0f}, READ_FAULT)); // movzwq (%rdi),%rcx
    EXPECT_EQ(regs().rcx, 0xffffu);
    EXPECT_TRUE(run({0x0f, 0xbf, 0x0f}, READ_FAULT)); // movswl (%rdi),%ecx
    EXPECT_EQ(regs().rcx, 0xffffffffu);
    EXPECT_TRUE(run({0x48, 0x63, 0x0f}, READ_FAULT)); // movslq (%rdi),%rcx
    EXPECT_EQ(regs().rcx, ONES);
    EXPECT_FALSE(run({0x41, 0x8b, 0x07}, READ_FAULT)); // mov (%r15),%eax: not what faulted
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
}

TEST_F(IoMemory, VectorReads) {
    ASSERT_EQ(map(CHIPSET), 0);
    using Fill = FakeMachine::VectorFill;
    EXPECT_TRUE(run({0x66, 0x44, 0x0f, 0x6f, 0x0f}, READ_FAULT, 16)); // movdqa (%rdi),%xmm9
    EXPECT_TRUE(run({0x0f, 0x10, 0x07}, READ_FAULT, 16));             // movups (%rdi),%xmm0
    EXPECT_TRUE(run({0xf3, 0x0f, 0x10, 0x0f}, READ_FAULT));           // movss (%rdi),%xmm1
    EXPECT_TRUE(run({0x66, 0x48, 0x0f, 0x6e, 0x07}, READ_FAULT));     // movq (%rdi),%xmm0
    EXPECT_EQ(vm.machine.vector_fills, (std::vector<Fill>{{9, 16}, {0, 16}, {1, 4}, {0, 8}}));
    EXPECT_FALSE(run({0x0f, 0x10, 0x07}, READ_FAULT, PAGE_SIZE - 8)); // half of it is memory
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
}

TEST_F(IoMemory, ReadsThatCompute) {
    ASSERT_EQ(map(CHIPSET), 0);
    regs().rax = 1;
    EXPECT_TRUE(run({0x03, 0x07}, READ_FAULT)); // add (%rdi),%eax
    EXPECT_EQ(regs().rax, 0u);
    EXPECT_EQ(regs().rflags & (rflags::CF | rflags::ZF), rflags::CF | rflags::ZF);
    EXPECT_TRUE(run({0x48, 0x83, 0x3f, 0xff}, READ_FAULT)); // cmpq $-1,(%rdi)
    EXPECT_NE(regs().rflags & rflags::ZF, 0u);
    regs().rax = 0x1'0000'0005;
    EXPECT_TRUE(run({0x3b, 0x07}, READ_FAULT)); // cmp (%rdi),%eax
    EXPECT_EQ(regs().rax, 0x1'0000'0005u) << "cmp must not write its operand";
    EXPECT_TRUE(run({0xf6, 0x07, 0x80}, READ_FAULT)); // testb $0x80,(%rdi)
    EXPECT_EQ(regs().rflags & rflags::ZF, 0u);
    EXPECT_TRUE(run({0x0f, 0xba, 0x27, 0x1f}, READ_FAULT)); // btl $31,(%rdi)
    EXPECT_NE(regs().rflags & rflags::CF, 0u);
}

TEST_F(IoMemory, StringReads) {
    ASSERT_EQ(map(CHIPSET), 0);
    regs().rax = 0;
    EXPECT_TRUE(run({0xad}, READ_FAULT)); // lods
    EXPECT_EQ(regs().rax, 0xffffffffu);
    EXPECT_EQ(regs().rsi, vm.va(PAGE, 12).address);
    // rep movsq: one element, then the instruction runs again
    Regs& r = guest_at(vm, {0xf3, 0x48, 0xa5});
    r.rsi = vm.va(PAGE, 8).address;
    r.rdi = vm.va(5).address;
    r.rcx = 2;
    vm.at<u64>(5) = 1;
    vm.vcpu().cr2 = r.rsi;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT);
    EXPECT_EQ(vm.at<u64>(5), ONES);
    EXPECT_EQ(r.rcx, 1u);
    EXPECT_EQ(r.rip, vm.va(0).address);
    vm.vcpu().cr2 = r.rsi;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT);
    EXPECT_EQ(r.rip, vm.va(0, 3).address);
}

TEST_F(IoMemory, AStringIntoMemoryThatTakesNoWrites) {
    ASSERT_EQ(map(CHIPSET), 0);
    Regs& r = guest_at(vm, {0xa4}); // movsb
    r.rsi = vm.va(PAGE).address;
    r.rdi = vm.va(vm.l1_pfn(0)).address; // a page table
    vm.vcpu().cr2 = r.rsi;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(vm.vcpu().info64().arch.cr2, r.rdi);
}

TEST_F(IoMemory, WritesOfEveryWidthGoNowhere) {
    ASSERT_EQ(map(CHIPSET), 0);
    const u64 before = slot().raw | Pte::ACCESSED | Pte::DIRTY;
    EXPECT_TRUE(run({0x88, 0x07}, WRITE_FAULT));                   // mov %al,(%rdi)
    EXPECT_TRUE(run({0x66, 0x89, 0x07}, WRITE_FAULT));             // mov %ax,(%rdi)
    EXPECT_TRUE(run({0x89, 0x07}, WRITE_FAULT));                   // mov %eax,(%rdi)
    EXPECT_TRUE(run({0x48, 0x89, 0x07}, WRITE_FAULT));             // mov %rax,(%rdi)
    EXPECT_TRUE(run({0x48, 0xc7, 0x07, 1, 0, 0, 0}, WRITE_FAULT)); // movq $1,(%rdi)
    EXPECT_TRUE(run({0x0f, 0x29, 0x07}, WRITE_FAULT, 16));         // movaps %xmm0,(%rdi)
    EXPECT_TRUE(run({0x66, 0x0f, 0xe7, 0x07}, WRITE_FAULT, 16));   // movntdq %xmm0,(%rdi)
    EXPECT_TRUE(run({0x0f, 0x94, 0x07}, WRITE_FAULT));             // sete (%rdi)
    regs().rax = 0x55;
    EXPECT_TRUE(run({0x48, 0x87, 0x07}, WRITE_FAULT)); // xchg %rax,(%rdi)
    EXPECT_EQ(regs().rax, ONES);
    EXPECT_TRUE(run({0xf0, 0x83, 0x0f, 0x01}, WRITE_FAULT)); // lock orl $1,(%rdi)
    EXPECT_NE(regs().rflags & rflags::SF, 0u);
    regs().rax = 7;
    EXPECT_TRUE(run({0xf0, 0x48, 0x0f, 0xc1, 0x07}, READ_FAULT)); // lock xadd %rax,(%rdi), as QEMU tells of it
    EXPECT_EQ(regs().rax, ONES);
    EXPECT_TRUE(run({0xaa}, WRITE_FAULT)); // stos
    EXPECT_EQ(slot().raw, before) << "marked as the processor would, and nothing else";
}

TEST_F(IoMemory, RightsHold) {
    ASSERT_EQ(map(CHIPSET, FLAGS), 0);
    EXPECT_FALSE(run({0x88, 0x07}, WRITE_FAULT));
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_EQ(slot().raw & (Pte::ACCESSED | Pte::DIRTY), 0u);
    EXPECT_TRUE(run({0x8a, 0x07}, READ_FAULT));
}

TEST_F(IoMemory, CodeThereIsUndefined) {
    ASSERT_EQ(map(CHIPSET), 0);
    Regs& r = guest_at(vm, {0x90});
    r.rip = vm.vcpu().cr2 = vm.va(PAGE).address;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT | abi::PFEC_insn_fetch);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_invalid_op));
    ASSERT_EQ(map(CHIPSET, FLAGS | Pte::NX), 0);
    r.rip = vm.va(PAGE).address;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT | abi::PFEC_insn_fetch);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
}

TEST_F(IoMemory, EveryWayOfMapping) {
    // mmu_update, a pinned table, a trapped write, in the last gap below 4 GiB and beyond all memory
    const u64 entry = static_cast<u64>(reinterpret_cast<u8*>(&slot()) - vm.machine.directmap);
    const u64 value = Pte::make({vm.boot.max_mfn}, FLAGS).raw;
    ASSERT_EQ(vm.call(do_mmu_update, vm.arg(abi::mmu_update{entry, value}).address, 1, 0, abi::DOMID_SELF), 0);
    EXPECT_EQ(slot().raw, value & ~Pte::USER);
    constexpr u64 TABLE = 20;
    ASSERT_EQ(map(vm.mfn(TABLE).number, Pte::PRESENT, TABLE), 0);
    vm.at<u64>(TABLE) = value;
    ASSERT_EQ(pin_table(vm.vcpu(), vm.mfn(TABLE), FrameType::l1), 0);
    EXPECT_EQ(vm.at<u64>(TABLE), value & ~Pte::USER);
    EXPECT_EQ(vm.domain().io_mappings, 2u);
    ASSERT_EQ(unpin_table(vm.vcpu(), vm.mfn(TABLE)), 0);
    EXPECT_EQ(vm.domain().io_mappings, 1u);
    vm.domain().vm_assist |= 1ULL << abi::VMASST_TYPE_writable_pagetables;
    Regs& r = guest_at(vm, {0x48, 0x89, 0x07}); // mov %rax,(%rdi)
    r.rdi = vm.vcpu().cr2 = vm.va(vm.l1_pfn(PAGE), PAGE * sizeof(Pte)).address;
    r.rax = Pte::make({CHIPSET}, FLAGS).raw;
    (void)fault(vm, abi::TRAP_page_fault, WRITE_FAULT);
    EXPECT_EQ(slot().raw, r.rax & ~Pte::USER);
    EXPECT_EQ(vm.domain().io_mappings, 1u);
    expect_memory_invariants(vm);
}

TEST_F(IoMemory, NeverAnythingElse) {
    for (const u64 mfn : {CHIPSET, vm.boot.max_mfn, u64{0xfee00}, u64{0xfec00}}) {
        for (unsigned level = 1; level <= 4; level++)
            EXPECT_EQ(pin_table(vm.vcpu(), {mfn}, table_type(level)), -abi::XEN_EINVAL);
        EXPECT_EQ(set_kernel_root(vm.vcpu(), {mfn}), -abi::XEN_EINVAL);
        EXPECT_EQ(set_user_root(vm.vcpu(), {mfn}), -abi::XEN_EINVAL);
        EXPECT_EQ(vm.call(do_set_gdt, vm.arg(mfn).address, 1), -abi::XEN_EINVAL);
        const abi::mmu_update writes[] = {{mfn << PAGE_SHIFT, 0}, {mfn << PAGE_SHIFT | abi::MMU_MACHPHYS_UPDATE, 0}};
        for (const abi::mmu_update& write : writes)
            EXPECT_EQ(vm.call(do_mmu_update, vm.arg(write).address, 1, 0, abi::DOMID_SELF), -abi::XEN_EINVAL);
        for (unsigned level = 2; level <= 4; level++) { // as a table, too
            Mfn table = vm.vcpu().kernel_root;
            for (unsigned at = 4; at > level; at--)
                table = vm.machine.table(table)[table_index(FakeVm::BASE, at)].mfn();
            const u64 at = table.address() + 8 * 100;
            const abi::mmu_update link{at, Pte::make({mfn}, Pte::PRESENT | Pte::USER).raw};
            EXPECT_EQ(vm.call(do_mmu_update, vm.arg(link).address, 1, 0, abi::DOMID_SELF), -abi::XEN_EINVAL);
        }
    }
    EXPECT_EQ(vm.domain().io_mappings, 0u);
    expect_memory_invariants(vm);
}

TEST_F(IoMemory, WhatTheProcessorCannotAddressAndTheNucleusOwnIsRefused) {
    EXPECT_EQ(map((1ULL << 40) - 1), -abi::XEN_EPERM);
    EXPECT_EQ(map(1ULL << 24), -abi::XEN_EPERM); // 36 address bits where CPUID does not say
    EXPECT_EQ(map((1ULL << 24) - 1), 0);
    vm.boot.cpuid[0] = {};
    vm.boot.cpuid[0].leaf = 0x80000008;
    vm.boot.cpuid[0].eax = 0x3030;
    vm.boot.nr_cpuid = 1;
    EXPECT_EQ(map((1ULL << 36) - 1), 0);
    EXPECT_EQ(map(1ULL << 36), -abi::XEN_EPERM);
    for (u64 mfn = 0; mfn < FakeVm::FIRST_MFN; mfn++) {
        const bool shared = vm.domain().frames.guest_may_map({mfn});
        EXPECT_TRUE(shared || map(mfn) == -abi::XEN_EBUSY) << mfn;
    }
}

TEST_F(IoMemory, TheGapBelow4GiBIsOneToo) {
    vm.boot.low_end_mfn = FakeVm::FIRST_MFN + 500; // the fake frames in between belong to nobody
    vm.boot.high_start_mfn = FakeVm::FIRST_MFN + 540;
    const u64 mfn = FakeVm::FIRST_MFN + 520;
    vm.domain().frames[Mfn{mfn}] = {};
    ASSERT_EQ(map(mfn), 0);
    u64 word = 0;
    EXPECT_FALSE(get(vm.vcpu(), word, vm.va(PAGE))) << "no hypercall reads what lies there";
    EXPECT_FALSE(put(vm.vcpu(), vm.va(PAGE), word));
    EXPECT_EQ(map(mfn + 20, FLAGS), vm.domain().frames.guest_may_map({mfn + 20}) ? 0 : -abi::XEN_EBUSY);
}

TEST_F(IoMemory, TheStubsDeliverPageFaultsOnlyWithoutIt) {
    set_trap(vm.vcpu(), abi::TRAP_page_fault, {handler_va(abi::TRAP_page_fault), abi::x64::FLAT_KERNEL_CS64, 0});
    EXPECT_NE(vm.vcpu().page_fault.address, 0u);
    ASSERT_EQ(map(CHIPSET), 0);
    EXPECT_EQ(vm.vcpu().page_fault.address, 0u);
    set_trap(vm.vcpu(), abi::TRAP_page_fault, {handler_va(1), abi::x64::FLAT_KERNEL_CS64, 0});
    EXPECT_EQ(vm.vcpu().page_fault.address, 0u);
    ASSERT_EQ(map(vm.mfn(PAGE).number), 0);
    EXPECT_EQ(vm.vcpu().page_fault.address, handler_va(1));
}

TEST_F(IoMemory, OtherFaultsStayTheGuests) {
    ASSERT_EQ(map(CHIPSET), 0);
    Regs& r = guest_at(vm, {0x8a, 0x07});
    r.rdi = vm.vcpu().cr2 = vm.va(11).address;
    (void)fault(vm, abi::TRAP_page_fault, READ_FAULT);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_FALSE(run({0x0f, 0x0b}, READ_FAULT)); // no instruction that reads
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
    EXPECT_FALSE(run({0xc5, 0xf9, 0x6f, 0x07}, READ_FAULT)); // AVX: not decoded
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_page_fault));
}

} // namespace
} // namespace parapet::nucleus::test
