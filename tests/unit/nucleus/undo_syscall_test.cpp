// SPDX-License-Identifier: Apache-2.0
// A SYSCALL whose registers a program may have made up (the trampoline, LSTAR as a page fault) shows the guest kernel
// nothing that a real one could not; and the kernel is entered with clean flags.
#include <gtest/gtest.h>

#include "hypercall-emu/core/pte.hpp"
#include "pv-abi/callback.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 PROGRAM_FLAGS = 0x244dd5; // CF PF AF ZF SF TF DF OF NT AC ID

TEST(UndoSyscall, KeepsWhatSyscallLeaves) {
    Regs regs{};
    regs.rcx = 0x401234;
    regs.r11 = 0x246;
    undo_syscall(regs);
    EXPECT_EQ(regs.rip, 0x401234u);
    EXPECT_EQ(regs.rflags, 0x246u);
    EXPECT_EQ(regs.rcx, 0x401234u);
    EXPECT_EQ(regs.r11, 0x246u);
}

TEST(UndoSyscall, NoFlagBeyondAProgramsOwn) {
    for (unsigned bit = 0; bit < 64; bit++) {
        for (const u64 r11 : {1ULL << bit, ~(1ULL << bit)}) {
            Regs regs{};
            regs.r11 = r11;
            undo_syscall(regs);
            EXPECT_EQ(regs.rflags & ~PROGRAM_FLAGS, rflags::IF | rflags::FIXED) << bit;
            EXPECT_EQ(regs.rflags & PROGRAM_FLAGS, r11 & PROGRAM_FLAGS) << bit;
            EXPECT_EQ(regs.r11, regs.rflags) << bit;
        }
    }
}

TEST(UndoSyscall, RipIsCanonical) {
    for (const u64 rcx : {0x8000000000000000UL, 0x0000800000000000UL, 0xffff7fffffffffffUL, 0x1234567890abcdefUL}) {
        Regs regs{};
        regs.rcx = rcx;
        undo_syscall(regs);
        EXPECT_TRUE(is_canonical(regs.rip)) << std::hex << rcx;
        EXPECT_EQ(regs.rip << 16, rcx << 16);
        EXPECT_EQ(regs.rcx, regs.rip);
    }
    EXPECT_EQ(canonical(0xffff800000000000 - 2), 0x7ffffffffffeu);
}

TEST(UndoSyscall, TheKernelIsEnteredWithCleanFlags) {
    FakeVm vm;
    Vcpu& vcpu = vm.vcpu();
    const u64 entry = vm.va(0, 0x40).address;
    ASSERT_EQ(vm.call(do_callback_op, abi::CALLBACKOP_register,
                      vm.arg(abi::callback_register64{abi::CALLBACKTYPE_syscall, 0, entry}).address),
              0);
    ASSERT_EQ(vm.call(do_stack_switch, 0, vm.va(3).address), 0);
    vcpu.info64().evtchn_upcall_mask = 0;
    vcpu.kernel_mode = 0;
    vcpu.regs->rflags = PROGRAM_FLAGS | rflags::IF | rflags::FIXED;
    vm.enter(vector::SYSCALL);
    EXPECT_EQ(vcpu.regs->rip, entry);
    EXPECT_EQ(vcpu.regs->rflags, rflags::IF | rflags::FIXED);
    struct {
        u64 rcx, r11, rip, cs, rflags, rsp, ss;
    } frame{};
    static_assert(sizeof(frame) == 56);
    copy_bytes(&frame, &vm.at<u8>(2, PAGE_SIZE - sizeof(frame)), sizeof(frame));
    EXPECT_EQ(frame.rflags, PROGRAM_FLAGS | rflags::IF | rflags::FIXED); // the program's own are its own
}

} // namespace
} // namespace parapet::nucleus::test
