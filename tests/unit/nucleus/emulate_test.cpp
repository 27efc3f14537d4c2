// SPDX-License-Identifier: Apache-2.0
// Privileged instructions of the guest kernel: what is emulated, and what stays the guest's fault.
#include <gtest/gtest.h>

#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/boot_features.hpp"
#include "pv-abi/cpuid.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 CR4_OSXSAVE = 1 << 18, CR0 = 0x80050033, CR0_TS = 8;

void add_leaf(FakeVm& vm, u32 leaf, u32 eax, u32 ebx, u32 ecx, u32 edx) {
    vm.boot.cpuid[vm.boot.nr_cpuid++] = {leaf, 0, 0, eax, ebx, ecx, edx, 0};
}

/// Let one instruction fault as #GP; true if it was emulated, that is rip stands behind it.
bool emulated(FakeVm& vm, std::initializer_list<int> code) {
    const Regs& regs = guest_at(vm, code);
    (void)fault(vm, abi::TRAP_gp_fault);
    if (regs.rip == vm.va(0, code.size()).address)
        return true;
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));
    return false;
}

TEST(Emulate, ControlRegisterReads) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x20, 0xc0})); // mov %cr0,%rax
    EXPECT_EQ(regs.rax, CR0);
    vm.vcpu().ts = 1;
    ASSERT_TRUE(emulated(vm, {0x41, 0x0f, 0x20, 0xc0})); // mov %cr0,%r8
    EXPECT_EQ(regs.r8, CR0 | CR0_TS);
    vm.vcpu().info64().arch.cr2 = 0x1234567;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x20, 0xd3})); // mov %cr2,%rbx
    EXPECT_EQ(regs.rbx, 0x1234567u);
    ASSERT_TRUE(emulated(vm, {0x0f, 0x20, 0xdb})); // mov %cr3,%rbx
    EXPECT_EQ(regs.rbx, vm.mfn(vm.l4_pfn()).address());
    ASSERT_TRUE(emulated(vm, {0x0f, 0x20, 0xe0}));        // mov %cr4,%rax
    EXPECT_NE(regs.rax & (1 << 5), 0u);                   // PAE
    EXPECT_FALSE(emulated(vm, {0x44, 0x0f, 0x20, 0xc0})); // mov %cr8,%rax: no local APIC
    EXPECT_FALSE(emulated(vm, {0x0f, 0x20, 0xc8}));       // cr1
}

TEST(Emulate, OnlyTsOfCr0Changes) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    regs.rax = CR0 | CR0_TS;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x22, 0xc0}));
    EXPECT_EQ(vm.vcpu().ts, 1);
    ASSERT_TRUE(emulated(vm, {0x0f, 0x06})); // clts
    EXPECT_EQ(vm.vcpu().ts, 0);
    regs.rax = CR0 & ~(1ULL << 16); // WP off
    EXPECT_FALSE(emulated(vm, {0x0f, 0x22, 0xc0}));
    regs.rax = CR0 & ~(1ULL << 31); // PG off
    EXPECT_FALSE(emulated(vm, {0x0f, 0x22, 0xc0}));
}

TEST(Emulate, WriteOfTsQueuesTheProcessors) {
    FakeVm vm;
    guest_at(vm, {0x0f, 0x22, 0xc0}).rax = CR0 | CR0_TS;
    const ExitWork work = fault(vm, abi::TRAP_gp_fault);
    EXPECT_NE(work.flags & ExitWork::SET_TS, 0u);
}

TEST(Emulate, Cr3TakesOnlyARoot) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    regs.rax = vm.mfn(10).address(); // writable page
    EXPECT_FALSE(emulated(vm, {0x0f, 0x22, 0xd8}));
    EXPECT_EQ(vm.vcpu().kernel_root, vm.mfn(vm.l4_pfn()));
    regs.rax = 5 * PAGE_SIZE; // the nucleus's
    EXPECT_FALSE(emulated(vm, {0x0f, 0x22, 0xd8}));
    regs.rax = vm.mfn(vm.l4_pfn()).address();
    EXPECT_TRUE(emulated(vm, {0x0f, 0x22, 0xd8}));
    EXPECT_EQ(vm.vcpu().kernel_cr3, vm.mfn(vm.l4_pfn()).address());
}

TEST(Emulate, Cr4KeepsToThePolicy) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    regs.rax = ~0ULL;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x22, 0xe0}));
    EXPECT_EQ(vm.vcpu().cr4 & CR4_OSXSAVE, 0u);
    EXPECT_EQ(vm.vcpu().cr4 & (1 << 20), 0u); // SMEP
    add_leaf(vm, 1, 0, 0, 1u << 26, 1u << 2);
    regs.rax = ~0ULL;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x22, 0xe0}));
    EXPECT_NE(vm.vcpu().cr4 & CR4_OSXSAVE, 0u);
    EXPECT_NE(vm.vcpu().cr4 & (1 << 3), 0u); // DE
}

TEST(Emulate, DebugRegisters) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    regs.rax = 0xffffffff81234000;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x23, 0xc0})); // mov %rax,%db0
    EXPECT_EQ(vm.vcpu().dr[0], regs.rax);
    regs.rax = HOLE_START;
    EXPECT_FALSE(emulated(vm, {0x0f, 0x23, 0xc0}));
    ASSERT_TRUE(emulated(vm, {0x0f, 0x21, 0xc1})); // mov %db0,%rcx
    EXPECT_EQ(regs.rcx, 0xffffffff81234000u);
    ASSERT_TRUE(emulated(vm, {0x0f, 0x21, 0xf1})); // dr6
    EXPECT_EQ(regs.rcx & 0xffff0ff0, 0xffff0ff0u);
    ASSERT_TRUE(emulated(vm, {0x0f, 0x21, 0xe9})); // dr5 is dr7
    EXPECT_EQ(regs.rcx, 0x400u);
    vm.vcpu().cr4 |= 1 << 3;
    guest_at(vm, {0x0f, 0x21, 0xe9}); // dr5, which there is not any more
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_invalid_op));
    guest_at(vm, {0x44, 0x0f, 0x21, 0xc0}); // dr8
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_invalid_op));
}

TEST(Emulate, LeavesToTheGuestWhatXenDoes) {
    FakeVm vm;
    EXPECT_FALSE(emulated(vm, {0x0f, 0x01, 0xf0})); // lmsw %ax
    EXPECT_FALSE(emulated(vm, {0x0f, 0x08}));       // invd
}

TEST(Emulate, WritesSegmentBases) {
    FakeVm vm;
    for (const u32 index : {msr::FS_BASE, msr::GS_BASE, msr::KERNEL_GS_BASE}) {
        Regs& regs = guest_at(vm, {0x0f, 0x30});
        regs.rcx = index;
        regs.rax = 0x81000000;
        regs.rdx = 0xffffffff;
        EXPECT_EQ(FakeVm::queued_msr(fault(vm, abi::TRAP_gp_fault), index), 0xffffffff81000000);

        regs = guest_at(vm, {0x0f, 0x30});
        regs.rcx = index;
        regs.rdx = 0x8000; // not canonical
        EXPECT_FALSE(FakeVm::queued_msr(fault(vm, abi::TRAP_gp_fault), index).has_value());
        EXPECT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));

        vm.machine.msrs[index] = 0x7fff12345678;
        regs.rcx = index;
        ASSERT_TRUE(emulated(vm, {0x0f, 0x32}));
        EXPECT_EQ(regs.rax, 0x12345678u);
        EXPECT_EQ(regs.rdx, 0x7fffu);
    }
}

TEST(Emulate, MsrsByTheAllowList) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    const auto reads = [&](u32 index) {
        regs.rcx = index;
        return emulated(vm, {0x0f, 0x32});
    };
    const auto writes = [&](u32 index, u64 value) {
        regs.rcx = index;
        regs.rax = value & 0xffffffff;
        regs.rdx = value >> 32;
        return emulated(vm, {0x0f, 0x30});
    };
    ASSERT_TRUE(reads(msr::EFER));
    EXPECT_EQ(regs.rax, 0xd01u); // NX, LMA, LME, SCE
    EXPECT_TRUE(writes(msr::EFER, 0xd01));
    EXPECT_FALSE(writes(msr::EFER, 0x501));
    ASSERT_TRUE(reads(msr::PAT));
    EXPECT_EQ(regs.rdx << 32 | regs.rax, 0x050100070406u);
    EXPECT_FALSE(writes(msr::PAT, 0x0007040600070406));
    ASSERT_TRUE(reads(msr::APIC_BASE));
    EXPECT_EQ(regs.rax, 0xfee00900u);
    EXPECT_FALSE(writes(msr::APIC_BASE, 0));
    EXPECT_TRUE(reads(msr::UCODE_REV));
    EXPECT_TRUE(writes(msr::UCODE_REV, 0));
    EXPECT_FALSE(writes(msr::UCODE_REV, 1));
    vm.machine.tsc = 0x123456789;
    ASSERT_TRUE(reads(msr::TSC));
    EXPECT_EQ(regs.rdx, 1u);
    EXPECT_FALSE(writes(msr::TSC, 0));
    for (const u32 index : {0xc0000081u, 0xc0000082u, 0xc0000084u, 0x174u, 0x830u, 0x6e0u, 0xffffffffu}) {
        EXPECT_FALSE(reads(index)) << std::hex << index; // STAR, LSTAR, SFMASK, SYSENTER, x2APIC, deadline, none
        EXPECT_FALSE(writes(index, 0)) << std::hex << index;
    }
}

TEST(Emulate, VendorsMsrs) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    const auto reads = [&](u32 index) {
        regs.rcx = index;
        return emulated(vm, {0x0f, 0x32});
    };
    EXPECT_FALSE(reads(msr::HWCR));
    EXPECT_FALSE(reads(msr::MISC_ENABLE));
    add_leaf(vm, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65); // AuthenticAMD
    EXPECT_TRUE(reads(msr::HWCR));
    EXPECT_TRUE(reads(msr::DE_CFG));
    EXPECT_EQ(regs.rax, 2u);
    EXPECT_FALSE(reads(msr::MISC_ENABLE));
}

TEST(Emulate, CpuidFaultsWhereTheGuestKernelSaysSo) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    const auto enable = [&](u64 value) {
        regs.rcx = msr::MISC_FEATURES_ENABLES;
        regs.rax = value;
        regs.rdx = 0;
        return emulated(vm, {0x0f, 0x30});
    };
    regs.rcx = msr::PLATFORM_INFO;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x32}));
    EXPECT_EQ(regs.rax, 0u);
    EXPECT_FALSE(enable(1)) << "the substrate has none";
    vm.boot.domain.features |= doorbell::BOOT_CPUID_FAULTING;
    regs.rcx = msr::PLATFORM_INFO;
    ASSERT_TRUE(emulated(vm, {0x0f, 0x32}));
    EXPECT_EQ(regs.rax, 1u << 31);
    EXPECT_FALSE(enable(2));
    regs = guest_at(vm, {0x0f, 0x30});
    regs.rcx = msr::MISC_FEATURES_ENABLES;
    regs.rax = 1;
    regs.rdx = 0;
    EXPECT_NE(fault(vm, abi::TRAP_gp_fault).flags & ExitWork::LOAD_FEATURES, 0u);
    EXPECT_TRUE(vm.vcpu().cpuid_faults);
    EXPECT_TRUE(emulated(vm, {0x0f, 0xa2})) << "the kernel's own CPUID";
    ASSERT_TRUE(enable(0));
    EXPECT_FALSE(vm.vcpu().cpuid_faults);
}

/// Write CR4; true where the processor's is to follow.
bool write_cr4(FakeVm& vm, u64 value) {
    guest_at(vm, {0x0f, 0x22, 0xe0}).rax = value; // mov %rax, %cr4
    return (fault(vm, abi::TRAP_gp_fault).flags & ExitWork::LOAD_FEATURES) != 0;
}

TEST(Emulate, TsdIsLoadedAsCr4SaysIt) {
    constexpr u64 CR4_TSD = 1 << 2;
    FakeVm vm;
    add_leaf(vm, 1, 0, 0, 0, 1u << 4);
    EXPECT_TRUE(write_cr4(vm, 0x20 | CR4_TSD));
    EXPECT_NE(vm.vcpu().cr4 & CR4_TSD, 0u);
    EXPECT_FALSE(write_cr4(vm, 0x20 | CR4_TSD));
    ASSERT_TRUE(emulated(vm, {0x0f, 0x31})) << "the kernel's own rdtsc";
    Vcpu& vcpu = vm.vcpu(); // user mode, on the same tables
    vcpu.user_root = vcpu.kernel_root;
    vcpu.user_cr3 = vcpu.kernel_cr3;
    vcpu.kernel_sp = vm.va(2, PAGE_SIZE).address;
    set_kernel_mode(vcpu, false);
    EXPECT_FALSE(emulated(vm, {0x0f, 0x31})) << "that of user mode";
    EXPECT_EQ(vcpu.kernel_mode, 1) << "in the kernel's handler";
    EXPECT_TRUE(write_cr4(vm, 0x20));
    EXPECT_EQ(vm.vcpu().cr4 & CR4_TSD, 0u);
}

TEST(Emulate, FsgsbaseIsLoadedAsCr4SaysIt) {
    constexpr u64 CR4_FSGSBASE = 1 << 16;
    FakeVm vm;
    EXPECT_FALSE(write_cr4(vm, 0x20));
    (void)write_cr4(vm, 0x20 | CR4_FSGSBASE);
    EXPECT_EQ(vm.vcpu().cr4 & CR4_FSGSBASE, 0u) << "not offered";
    add_leaf(vm, 7, 0, 1, 0, 0);
    EXPECT_TRUE(write_cr4(vm, 0x20 | CR4_FSGSBASE));
    EXPECT_NE(vm.vcpu().cr4 & CR4_FSGSBASE, 0u);
    EXPECT_FALSE(write_cr4(vm, 0x20 | CR4_FSGSBASE));
    EXPECT_TRUE(write_cr4(vm, 0x20));
    EXPECT_EQ(vm.vcpu().cr4 & CR4_FSGSBASE, 0u);
}

TEST(Emulate, TscAuxOnlyWhereOffered) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {0x0f, 0x30});
    regs.rcx = msr::TSC_AUX;
    regs.rax = 5;
    EXPECT_FALSE(FakeVm::queued_msr(fault(vm, abi::TRAP_gp_fault), msr::TSC_AUX).has_value());
    add_leaf(vm, 0x80000001, 0, 0, 0, 1u << 27);
    regs = guest_at(vm, {0x0f, 0x30});
    regs.rcx = msr::TSC_AUX;
    regs.rax = 5;
    regs.rdx = 0;
    EXPECT_EQ(FakeVm::queued_msr(fault(vm, abi::TRAP_gp_fault), msr::TSC_AUX), 5u);
    ASSERT_TRUE(emulated(vm, {0x0f, 0x01, 0xf9})); // rdtscp
    EXPECT_EQ(regs.rcx, 5u);
}

TEST(Emulate, PortsReadAsOnesWhereIoplAllows) {
    FakeVm vm;
    Regs& regs = *vm.vcpu().regs;
    EXPECT_FALSE(emulated(vm, {0xec})); // in (%dx),%al
    vm.vcpu().iopl = 1;
    regs.rax = 0x1122334455667788;
    ASSERT_TRUE(emulated(vm, {0xe4, 0x60}));
    EXPECT_EQ(regs.rax, 0x11223344556677ffu);
    ASSERT_TRUE(emulated(vm, {0x66, 0xed}));
    EXPECT_EQ(regs.rax, 0x112233445566ffffu);
    ASSERT_TRUE(emulated(vm, {0xed}));
    EXPECT_EQ(regs.rax, 0xffffffffu);
    regs.rax = 3;
    ASSERT_TRUE(emulated(vm, {0xef}));
    EXPECT_EQ(regs.rax, 3u);
    EXPECT_TRUE(emulated(vm, {0xfa})); // cli, sti
    EXPECT_TRUE(emulated(vm, {0xfb}));
    EXPECT_NE(regs.rflags & rflags::IF, 0u);
}

TEST(Emulate, PortBitmapOpensPorts) {
    FakeVm vm;
    u8 bitmap[16];
    fill_bytes(bitmap, 0xff, sizeof(bitmap));
    bitmap[0x60 / 8] = 0xfe; // 0x60 only
    Vcpu& vcpu = vm.vcpu();
    vcpu.io_bitmap_va = vm.arg(bitmap, 5).address;
    vcpu.io_bitmap_ports = 128;
    EXPECT_TRUE(emulated(vm, {0xe4, 0x60}));
    EXPECT_FALSE(emulated(vm, {0xe4, 0x61}));
    EXPECT_FALSE(emulated(vm, {0x66, 0xe5, 0x60})); // two ports, one of them shut
    EXPECT_FALSE(emulated(vm, {0xe4, 0x80}));       // beyond
    vcpu.io_bitmap_va = 0x1000;                     // not mapped
    EXPECT_FALSE(emulated(vm, {0xe4, 0x60}));
}

/// The bitmap's address is the kernel's: what user mode has there, on its own root, has no say.
TEST(Emulate, PortBitmapIsReadInTheKernelsAddressSpace) {
    constexpr u64 BITMAP = 0x400000;
    FakeVm vm;
    Vcpu& vcpu = vm.vcpu();
    const auto entry = [&](u64 pfn) { return Pte::make(vm.mfn(pfn), Pte::PRESENT | Pte::RW | Pte::USER); };
    const auto map = [&](Mfn root, u64 first_table, u64 pfn) {
        reinterpret_cast<Pte*>(vm.frame(root))[0] = entry(first_table);
        vm.at<Pte>(first_table) = entry(first_table + 1);
        vm.at<Pte>(first_table + 1, (BITMAP >> 21) * sizeof(Pte)) = entry(first_table + 2);
        vm.at<Pte>(first_table + 2, (BITMAP >> 12 & 511) * sizeof(Pte)) = entry(pfn);
    };
    const Mfn user_root = vm.mfn(30);
    copy_bytes(vm.frame(user_root), vm.frame(vcpu.kernel_root), PAGE_SIZE);
    map(vcpu.kernel_root, 31, 10);
    map(user_root, 34, 11);
    vcpu.io_bitmap_va = BITMAP;
    vcpu.io_bitmap_ports = 128;
    for (const bool kernel_opens : {true, false}) {
        fill_bytes(vm.frame(vm.mfn(10)), kernel_opens ? 0 : 0xff, PAGE_SIZE);
        fill_bytes(vm.frame(vm.mfn(11)), kernel_opens ? 0xff : 0, PAGE_SIZE);
        const Regs& regs = guest_at(vm, {0xe4, 0x60});
        ASSERT_EQ(vm.call(do_stack_switch, 0, vm.va(3).address), 0);
        vcpu.user_root = user_root;
        vcpu.kernel_mode = 0;
        (void)fault(vm, abi::TRAP_gp_fault);
        EXPECT_EQ(regs.rip == vm.va(0, 2).address, kernel_opens);
    }
}

TEST(Emulate, StringInputFillsMemory) {
    FakeVm vm;
    vm.vcpu().iopl = 1;
    Regs& regs = guest_at(vm, {0xf3, 0x6d}); // rep insl
    regs.rdi = vm.va(5, PAGE_SIZE - 4).address;
    regs.rcx = 2;
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_EQ(regs.rip, vm.va(0).address); // one element at a time
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_EQ(regs.rip, vm.va(0, 2).address);
    EXPECT_EQ(regs.rcx, 0u);
    EXPECT_EQ(vm.at<u32>(5, PAGE_SIZE - 4), ~0u);
    EXPECT_EQ(vm.at<u32>(6), ~0u);
    guest_at(vm, {0x6d}).rdi = vm.va(vm.l4_pfn()).address; // into a page table: refused
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));
}

TEST(Emulate, XsetbvTakesLegalSubsets) {
    FakeVm vm;
    vm.boot.xcr0 = 0xe7;
    vm.vcpu().cr4 |= CR4_OSXSAVE;
    Regs& regs = *vm.vcpu().regs;
    const auto sets = [&](u64 value) {
        regs.rcx = 0;
        regs.rax = value;
        regs.rdx = 0;
        return emulated(vm, {0x0f, 0x01, 0xd1});
    };
    EXPECT_TRUE(sets(7));
    EXPECT_EQ(vm.vcpu().xcr0, 7u);
    EXPECT_TRUE(sets(0xe7));
    EXPECT_FALSE(sets(6));     // x87 must be
    EXPECT_FALSE(sets(5));     // AVX without SSE
    EXPECT_FALSE(sets(0x27));  // a part of AVX-512
    EXPECT_FALSE(sets(0x207)); // not the substrate's
    EXPECT_EQ(vm.vcpu().xcr0, 0xe7u);
    vm.vcpu().cr4 &= ~CR4_OSXSAVE;
    EXPECT_FALSE(sets(7));
}

TEST(Emulate, WhatStaysTheGuestsFault) {
    FakeVm vm;
    EXPECT_FALSE(emulated(vm, {0x0f, 0x01, 0xf8}));             // swapgs
    EXPECT_FALSE(emulated(vm, {0x0f, 0x01, 0x10}));             // lgdt
    EXPECT_FALSE(emulated(vm, {0x48, 0x0f, 0x07}));             // sysret
    EXPECT_FALSE(emulated(vm, {0x48, 0xcf}));                   // iret
    EXPECT_FALSE(emulated(vm, {0x0f, 0x00, 0xd8}));             // ltr
    EXPECT_FALSE(emulated(vm, {0xfa}));                         // cli without IOPL
    EXPECT_FALSE(emulated(vm, {0xf4}));                         // hlt: sched_op blocks
    EXPECT_FALSE(emulated(vm, {0x0f, 0x01, 0x38}));             // invlpg: mmuext_op flushes
    EXPECT_FALSE(emulated(vm, {0xf0, 0x0f, 0x20, 0xc0}));       // lock
    EXPECT_FALSE(emulated(vm, {0xc4, 0xe2, 0x78, 0xf2, 0xc0})); // VEX
}

TEST(Emulate, NothingForUserMode) {
    FakeVm vm;
    guest_at(vm, {0x0f, 0x20, 0xc0});
    vm.vcpu().kernel_mode = 0;
    vm.vcpu().user_root = vm.vcpu().kernel_root;
    EXPECT_FALSE(emulate_privileged(vm.vcpu()));
    guest_at(vm, {0xec});
    EXPECT_FALSE(emulate_privileged(vm.vcpu()));
    vm.vcpu().iopl = 1;
    EXPECT_FALSE(emulate_privileged(vm.vcpu()));
    vm.vcpu().iopl = 3;
    EXPECT_TRUE(emulate_privileged(vm.vcpu()));
}

TEST(Emulate, CodeThatCannotBeRead) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {});
    regs.rip = 0x1000;
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));
}

TEST(Emulate, SingleStep) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {0x0f, 0x09}); // wbinvd
    regs.rflags |= rflags::TF | rflags::RF;
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_debug));
    u64 frame[5]; // rcx r11 rip cs rflags
    ASSERT_TRUE(get(vm.vcpu(), frame, {regs.rsp}));
    EXPECT_EQ(frame[2], vm.va(0, 2).address);
    EXPECT_NE(frame[4] & rflags::TF, 0u);
    EXPECT_EQ(frame[4] & rflags::RF, 0u);
}

// ---- CPUID ----

constexpr std::initializer_list<int> FORCED_CPUID = {0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2};

void forced_cpuid(FakeVm& vm, u32 leaf, u32 subleaf = 0) {
    Regs& regs = guest_at(vm, FORCED_CPUID);
    regs.rax = leaf;
    regs.rcx = subleaf;
    (void)fault(vm, abi::TRAP_invalid_op);
    ASSERT_EQ(regs.rip, vm.va(0, 7).address);
}

TEST(Cpuid, XenLeaves) {
    FakeVm vm;
    const Regs& regs = *vm.vcpu().regs;
    forced_cpuid(vm, 0x40000000);
    EXPECT_GE(regs.rax, 0x40000004u);
    EXPECT_EQ(regs.rbx, u64{abi::XEN_CPUID_SIGNATURE_EBX});
    EXPECT_EQ(regs.rcx, u64{abi::XEN_CPUID_SIGNATURE_ECX});
    EXPECT_EQ(regs.rdx, u64{abi::XEN_CPUID_SIGNATURE_EDX});
    forced_cpuid(vm, 0x40000001);
    EXPECT_EQ(regs.rax, 0x40011u);
    forced_cpuid(vm, 0x40000003, 0);
    EXPECT_EQ(regs.rcx, vm.boot.tsc_khz);
    forced_cpuid(vm, 0x40000003, 1);
    EXPECT_EQ(regs.rcx, u64{vm.domain().clock.mul});
}

TEST(Cpuid, PolicyBySubleaf) {
    FakeVm vm;
    vm.boot.nr_cpuid = 2;
    vm.boot.cpuid[0] = {7, 0, 1, 1, 2, 3, 4, 0};
    vm.boot.cpuid[1] = {7, 1, 1, 5, 6, 7, 8, 0};
    const Regs& regs = *vm.vcpu().regs;
    forced_cpuid(vm, 7, 1);
    EXPECT_EQ(regs.rdx, 8u);
    forced_cpuid(vm, 7, 0);
    EXPECT_EQ(regs.rbx, 2u);
    forced_cpuid(vm, 7, 2);
    EXPECT_EQ(regs.rax | regs.rbx | regs.rcx | regs.rdx, 0u);
    vm.boot.nr_cpuid = 1000; // more than there is room for
    forced_cpuid(vm, 0x1234);
    EXPECT_EQ(regs.rax | regs.rbx | regs.rcx | regs.rdx, 0u);
}

TEST(Cpuid, OsxsaveShowsToAKernelThatAsks) {
    FakeVm vm;
    constexpr u64 OSXSAVE = 1u << 27;
    add_leaf(vm, 1, 0, 0, 1u << 26, 0);
    const Regs& regs = *vm.vcpu().regs;
    forced_cpuid(vm, 1);
    EXPECT_EQ(regs.rcx & OSXSAVE, 0u); // the substrate has no XSAVE
    vm.boot.xcr0 = 7;
    forced_cpuid(vm, 1);
    EXPECT_NE(regs.rcx & OSXSAVE, 0u);
    ASSERT_TRUE(emulated(vm, {0x0f, 0xa2})); // without the prefix: by CR4
    guest_at(vm, {0x0f, 0xa2}).rax = 1;
    (void)fault(vm, abi::TRAP_gp_fault);
    EXPECT_EQ(regs.rcx & OSXSAVE, 0u);
}

TEST(Cpuid, PlainUd2IsTheGuests) {
    FakeVm vm;
    guest_at(vm, {0x0f, 0x0b}, 5, PAGE_SIZE - 2);
    vm.set_mapping_flags(6, 0);
    (void)fault(vm, abi::TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_invalid_op));
    guest_at(vm, {0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa3});
    (void)fault(vm, abi::TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_invalid_op));
}

// ---- int n ----

constexpr u64 idt_error(unsigned vector) {
    return vector << 3 | 2;
}

TEST(SoftwareInterrupt, AsGeneralProtection) {
    FakeVm vm;
    Regs& regs = guest_at(vm, {0xcd, 0x80});
    vm.vcpu().traps[0x80].flags = 3;
    (void)fault(vm, abi::TRAP_gp_fault, idt_error(0x80));
    EXPECT_TRUE(reached_handler(vm, 0x80));
    u64 frame_rip = 0; // rcx, r11, rip: no error code
    ASSERT_TRUE(get(vm.vcpu(), frame_rip, {regs.rsp + 16}));
    EXPECT_EQ(frame_rip, vm.va(0, 2).address);
}

TEST(SoftwareInterrupt, AsInvalidOpcode) {
    FakeVm vm;
    guest_at(vm, {0xcd, 0x82});
    vm.vcpu().traps[0x82].flags = 1; // the kernel's own
    (void)fault(vm, abi::TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, 0x82));
    Regs& regs = guest_at(vm, {0xcc});
    vm.vcpu().traps[3].flags = 3;
    (void)fault(vm, abi::TRAP_invalid_op);
    EXPECT_TRUE(reached_handler(vm, 3));
    u64 frame_rip = 0;
    ASSERT_TRUE(get(vm.vcpu(), frame_rip, {regs.rsp + 16}));
    EXPECT_EQ(frame_rip, vm.va(0, 1).address);
}

TEST(SoftwareInterrupt, GateAboveTheCaller) {
    FakeVm vm;
    guest_at(vm, {0xcd, 0x80}); // DPL 0
    (void)fault(vm, abi::TRAP_invalid_op);
    ASSERT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));
    u64 frame[4]; // rcx r11 error rip
    ASSERT_TRUE(get(vm.vcpu(), frame, {vm.vcpu().regs->rsp}));
    EXPECT_EQ(frame[2], idt_error(0x80));
    EXPECT_EQ(frame[3], vm.va(0).address);
}

TEST(SoftwareInterrupt, NoHandlerIsAFaultAndNoCrash) {
    FakeVm vm;
    guest_at(vm, {0xcd, 0x99});
    vm.vcpu().traps[0x99] = {};
    (void)fault(vm, abi::TRAP_gp_fault, idt_error(0x99));
    EXPECT_TRUE(reached_handler(vm, abi::TRAP_gp_fault));
    EXPECT_FALSE(vm.domain().dead);
}

} // namespace
} // namespace parapet::nucleus::test
