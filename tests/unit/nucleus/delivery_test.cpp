// SPDX-License-Identifier: Apache-2.0
// The frame that the guest kernel finds on its stack, word by word, for each way in; `iret`, which takes it back; and
// what happens where neither is possible.
#include <gtest/gtest.h>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/boot_features.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/trap.hpp"
#include "tests/unit/nucleus/guest_code.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 STACK_PFN = 2, USER_STACK_PFN = 5, KERNEL_STACK_PFN = 6;
constexpr u64 MASKED = 1ULL << 32; ///< in the frame's cs
constexpr u64 CF_ZF = 0x41;

class Delivery : public ::testing::Test {
protected:
    FakeVm vm;
    Vcpu& vcpu = vm.vcpu();
    Regs& regs = guest_at(vm, {0x90});

    Delivery() {
        regs.cs = x64::FLAT_KERNEL_CS64;
        regs.ss = x64::FLAT_RING3_SS64;
        regs.rcx = 0xc0c0;
        regs.r11 = 0x1111;
        vcpu.info64().evtchn_upcall_mask = 0;
        vcpu.kernel_sp = vm.va(KERNEL_STACK_PFN, PAGE_SIZE).address;
    }
    /// A user root (the kernel's own will do), and user mode.
    void enter_user_mode() {
        ASSERT_EQ(set_user_root_to_kernels(), 0);
        set_kernel_mode(vcpu, false);
        (void)vm.take_work();
        regs.rsp = vm.va(USER_STACK_PFN, 0x800).address;
    }
    Status set_user_root_to_kernels() {
        vcpu.user_root = vcpu.kernel_root;
        vcpu.user_cr3 = vcpu.kernel_cr3;
        return 0;
    }
    /// The words of the frame, lowest first.
    std::vector<u64> frame(u64 pfn, unsigned count) {
        std::vector<u64> words;
        for (unsigned i = 0; i < count; i++)
            words.push_back(vm.at<u64>(pfn, (regs.rsp & (PAGE_SIZE - 1)) + i * sizeof(u64)));
        return words;
    }
    const char* crash_reason() { return vm.machine.requests.empty() ? "" : vm.machine.requests.back().text.c_str(); }
};

TEST_F(Delivery, AnExceptionOfTheKernelWithoutErrorCode) {
    const u64 rip = regs.rip, rsp = regs.rsp;
    regs.rflags |= CF_ZF | rflags::TF | rflags::AC | rflags::NT | rflags::RF;
    const u64 flags = regs.rflags;
    vm.enter(TRAP_divide_error);
    ASSERT_TRUE(reached_handler(vm, TRAP_divide_error));
    EXPECT_EQ(regs.rsp, rsp - 7 * 8);
    // Kernel mode shows as privilege level 0.
    EXPECT_EQ(frame(STACK_PFN, 7),
              (std::vector<u64>{0xc0c0, 0x1111, rip, x64::FLAT_KERNEL_CS64 & ~3ULL, flags, rsp, x64::FLAT_RING3_SS64}));
    EXPECT_EQ(regs.rflags, rflags::FIXED | rflags::IF | CF_ZF) << "as the processor clears them at an interrupt gate";
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 0) << "the handler did not ask for it";
}

TEST_F(Delivery, AnExceptionWithErrorCodeThatMasksEvents) {
    const u64 rip = regs.rip, rsp = regs.rsp;
    set_trap(vcpu, TRAP_stack_error, {handler_va(TRAP_stack_error), x64::FLAT_KERNEL_CS64, TI_IF});
    fault(vm, TRAP_stack_error, 0x1238);
    EXPECT_EQ(frame(STACK_PFN, 8), (std::vector<u64>{0xc0c0, 0x1111, 0x1238, rip, x64::FLAT_KERNEL_CS64 & ~3ULL,
                                                     rflags::FIXED | rflags::IF, rsp, x64::FLAT_RING3_SS64}));
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
}

TEST_F(Delivery, TheEventMaskIsInTheFrame) {
    vcpu.info64().evtchn_upcall_mask = 1;
    vm.enter(TRAP_divide_error);
    const auto words = frame(STACK_PFN, 7);
    EXPECT_EQ(words[3], (x64::FLAT_KERNEL_CS64 & ~3ULL) | MASKED);
    EXPECT_EQ(words[4] & rflags::IF, 0u) << "the guest's idea of IF is the mask";
}

TEST_F(Delivery, AnUnalignedStackIsAligned) {
    regs.rsp -= 5;
    const u64 rsp = regs.rsp;
    vm.enter(TRAP_divide_error);
    EXPECT_EQ(regs.rsp, (rsp & ~15ULL) - 7 * 8);
    EXPECT_EQ(frame(STACK_PFN, 7)[5], rsp);
}

TEST_F(Delivery, AnExceptionOfUserModeGoesToTheKernelsStack) {
    enter_user_mode();
    const u64 rip = regs.rip, rsp = regs.rsp;
    const ExitWork work = vm.enter(TRAP_divide_error);
    EXPECT_EQ(vcpu.kernel_mode, 1);
    EXPECT_NE(work.flags & ExitWork::SWAPGS, 0u);
    EXPECT_EQ(regs.rsp, vcpu.kernel_sp - 7 * 8);
    EXPECT_EQ(frame(KERNEL_STACK_PFN, 7), (std::vector<u64>{0xc0c0, 0x1111, rip, x64::FLAT_KERNEL_CS64,
                                                            rflags::FIXED | rflags::IF, rsp, x64::FLAT_RING3_SS64}));
}

TEST_F(Delivery, TheUserBitOfAPageFaultIsTheGuestsIdeaOfIt) {
    for (const bool user : {false, true}) {
        if (user)
            enter_user_mode();
        vcpu.cr2 = 0x1000;
        fault(vm, TRAP_page_fault, PFEC_user_mode | PFEC_write_access); // both modes are ring 3 to the processor
        const u64 pfn = user ? KERNEL_STACK_PFN : STACK_PFN;
        EXPECT_EQ(frame(pfn, 3)[2], PFEC_write_access | (user ? u64{PFEC_user_mode} : 0));
        EXPECT_EQ(vcpu.info64().arch.cr2, 0x1000u);
    }
}

TEST_F(Delivery, SystemCallsOfBothWidths) {
    enter_user_mode();
    const u64 rip = regs.rip;
    vcpu.syscall_entry = HANDLERS + 0x300;
    vm.enter(vector::SYSCALL);
    EXPECT_EQ(regs.rip, HANDLERS + 0x300);
    EXPECT_EQ(frame(KERNEL_STACK_PFN, 3)[2], rip);
    EXPECT_EQ(vcpu.syscalls, 1u);

    set_kernel_mode(vcpu, false);
    regs.rip = rip;
    vm.enter(vector::SYSCALL32); // nobody registered for it
    EXPECT_TRUE(reached_handler(vm, TRAP_invalid_op));

    set_kernel_mode(vcpu, false);
    regs.rip = rip;
    vcpu.syscall32_entry = HANDLERS + 0x308;
    vcpu.syscall_masks_events = 1; // of both widths
    vm.enter(vector::SYSCALL32);
    EXPECT_EQ(regs.rip, HANDLERS + 0x308);
    EXPECT_EQ(frame(KERNEL_STACK_PFN, 3)[2], rip);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
}

TEST_F(Delivery, ARefusedFrameGoesToTheFailsafeCallbackWithItsSelectors) {
    const u64 rip = regs.rip, rsp = regs.rsp;
    vcpu.failsafe_callback = {HANDLERS + 0x310, true};
    regs.cs = 0x1233;
    vm.enter(vector::FAILSAFE);
    EXPECT_EQ(regs.rip, HANDLERS + 0x310);
    EXPECT_EQ(regs.cs, x64::FLAT_KERNEL_CS);
    EXPECT_EQ(regs.ss, x64::FLAT_KERNEL_SS);
    EXPECT_EQ(frame(STACK_PFN, 11), (std::vector<u64>{0xc0c0, 0x1111, 0x2b, 0x2b, 0x2b, 0x2b, rip, 0x1230,
                                                      rflags::FIXED | rflags::IF, rsp, x64::FLAT_RING3_SS64}));
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
}

TEST_F(Delivery, WithoutAFailsafeCallbackTheGuestIsCrashed) {
    vcpu.failsafe_callback = {};
    EXPECT_NE(vm.enter(vector::FAILSAFE).flags & ExitWork::STOP, 0u);
    EXPECT_TRUE(vm.domain().dead);
    EXPECT_STREQ(crash_reason(), "exception or event without a handler registered");
}

TEST_F(Delivery, AStackThatTakesNoFrameCrashesTheGuest) {
    const u64 stacks[] = {0, HOLE_START + 0x1000, vm.va(vm.l4_pfn(), PAGE_SIZE).address, ~0ULL};
    for (const u64 bad : stacks) {
        FakeVm other;
        Regs& its = guest_at(other, {0x90});
        its.rsp = bad;
        EXPECT_NE(other.enter(TRAP_divide_error).flags & ExitWork::STOP, 0u) << std::hex << bad;
        ASSERT_EQ(other.machine.requests.size(), 1u);
        EXPECT_EQ(other.machine.requests[0].kind, doorbell::Request::crash);
    }
}

/// One fault over and over, with nothing else in between: the guest's handler does not help, nor ever will.
TEST_F(Delivery, AGuestThatLoopsOnAFaultIsCrashed) {
    const Regs at_fault = regs;
    vcpu.cr2 = 0x1000;
    unsigned rounds = 0;
    for (; rounds < 300'000 && !vm.domain().dead; rounds++) {
        regs = at_fault;
        regs.error = 0;
        vm.enter(TRAP_page_fault);
    }
    EXPECT_TRUE(vm.domain().dead);
    EXPECT_LT(rounds, 300'000u);
    EXPECT_NE(std::string{crash_reason()}.find("same fault"), std::string::npos) << crash_reason();
}

TEST_F(Delivery, AFaultThatMovesOrIsAnsweredIsNoLoop) {
    const Regs at_fault = regs;
    vcpu.cr2 = 0x1000;
    for (unsigned round = 0; round < 210'000; round++) {
        regs = at_fault;
        regs.rbx = round % 2; // a register moves
        vm.enter(TRAP_page_fault);
    }
    ASSERT_FALSE(vm.domain().dead);
    for (unsigned round = 0; round < 700; round++) {
        for (unsigned i = 0; i < 300; i++) {
            regs = at_fault;
            vm.enter(TRAP_page_fault);
        }
        regs = at_fault;
        vm.hypercall(HYPERVISOR_xen_version, 0); // the kernel does something about it
    }
    EXPECT_FALSE(vm.domain().dead);
}

class Iret : public Delivery {
protected:
    iret_context context{.rax = 0xaaaa,
                         .r11 = 0x1111,
                         .rcx = 0xcccc,
                         .flags = 0,
                         .rip = FakeVm::BASE + 0x123,
                         .cs = 0xe030,
                         .rflags = rflags::FIXED | rflags::IF,
                         .rsp = FakeVm::BASE + STACK_PFN * PAGE_SIZE + 0x700,
                         .ss = 0xe02b};
    ExitWork iret() {
        regs.rsp = vm.va(STACK_PFN, 0x400).address;
        vm.arg(context, STACK_PFN, 0x400);
        regs.rax = HYPERVISOR_iret;
        return vm.enter(vector::SYSCALL);
    }
};

TEST_F(Iret, ToTheKernelItself) {
    const ExitWork work = iret();
    EXPECT_EQ(vcpu.kernel_mode, 1);
    EXPECT_EQ(work.flags & ExitWork::SWAPGS, 0u);
    EXPECT_EQ(regs.rip, context.rip);
    EXPECT_EQ(regs.cs, 0xe033u);
    EXPECT_EQ(regs.ss, 0xe02bu);
    EXPECT_EQ(regs.rsp, context.rsp);
    EXPECT_EQ(regs.rax, 0xaaaau);
    EXPECT_EQ(regs.rcx, 0xccccu);
    EXPECT_EQ(regs.r11, 0x1111u);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 0);
}

TEST_F(Iret, ToUserModeWithTheUserRoot) {
    ASSERT_EQ(set_user_root_to_kernels(), 0);
    context.cs = 0xe033;
    const ExitWork work = iret();
    EXPECT_EQ(vcpu.kernel_mode, 0);
    EXPECT_NE(work.flags & ExitWork::SWAPGS, 0u);
    EXPECT_EQ(regs.cs, 0xe033u);
}

/// Where CR0.TS has no effect at ring 3, user mode is not run before its kernel has had #NM.
TEST_F(Iret, ToUserModeWithTaskSwitchedWhereThatIsIgnored) {
    ASSERT_EQ(set_user_root_to_kernels(), 0);
    ASSERT_EQ(vm.call(do_stack_switch, 0, vm.va(STACK_PFN, PAGE_SIZE).address), 0);
    context.cs = 0xe033;
    for (const bool ignored : {false, true}) {
        vm.boot.domain.features = ignored ? doorbell::BOOT_TS_IGNORED : 0;
        set_kernel_mode(vcpu, true);
        ASSERT_EQ(vm.call(do_fpu_taskswitch, 1), 0);
        iret();
        EXPECT_EQ(vcpu.kernel_mode, ignored ? 1 : 0);
        EXPECT_EQ(regs.rip, ignored ? handler_va(TRAP_no_device) : context.rip);
        EXPECT_EQ(vcpu.ts, ignored ? 0 : 1) << "delivery clears it";
    }
    EXPECT_EQ(frame(STACK_PFN, 7)[2], context.rip) << "as if the program's next instruction had raised it";
    iret();
    EXPECT_EQ(regs.rip, context.rip) << "once for each switch";

    vcpu.traps[TRAP_no_device] = {}; // a kernel that never means it
    set_kernel_mode(vcpu, true);
    ASSERT_EQ(vm.call(do_fpu_taskswitch, 1), 0);
    iret();
    EXPECT_EQ(regs.rip, context.rip);
    EXPECT_FALSE(vm.domain().dead);
}

TEST_F(Iret, ToUserModeWithoutAUserRootCrashesTheGuest) {
    context.cs = 0xe033;
    iret();
    EXPECT_TRUE(vm.domain().dead);
    EXPECT_STREQ(crash_reason(), "iret to user mode without a user page table");
}

TEST_F(Iret, FlagsThatTheGuestMayNotHave) {
    context.rflags = ~0ULL;
    iret();
    EXPECT_EQ(regs.rflags & (rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP), 0u);
    EXPECT_NE(regs.rflags & rflags::IF, 0u);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 0);
    context.rflags = 0; // the guest's IF is the mask; the processor's stays on
    iret();
    EXPECT_EQ(regs.rflags, rflags::FIXED | rflags::IF);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
}

TEST_F(Iret, SelectorsAreCutAndOfRing3) {
    context.cs = 0x123456780000e030;
    context.ss = 0xfffffffffffff028;
    iret();
    EXPECT_EQ(regs.cs, 0xe033u);
    EXPECT_EQ(regs.ss, 0xf02bu);
}

TEST_F(Iret, OutOfASystemCallAsSysretLeavesTheRegisters) {
    context.flags = VGCF_in_syscall;
    iret();
    EXPECT_EQ(regs.rcx, context.rip);
    EXPECT_EQ(regs.r11, regs.rflags);
}

TEST_F(Iret, AnEventThatWaitedIsDeliveredAtOnce) {
    vcpu.info64().evtchn_upcall_mask = 1;
    vcpu.info64().evtchn_upcall_pending = 1;
    vcpu.event_callback = {HANDLERS + 0x320, true};
    iret();
    EXPECT_EQ(regs.rip, HANDLERS + 0x320);
    EXPECT_EQ(frame(STACK_PFN, 3)[2], context.rip);
    EXPECT_EQ(vcpu.info64().evtchn_upcall_mask, 1);
}

TEST_F(Iret, AStackThatIsNotMappedCrashesTheGuest) {
    regs.rsp = 0x1000;
    regs.rax = HYPERVISOR_iret;
    vm.enter(vector::SYSCALL);
    EXPECT_TRUE(vm.domain().dead);
    EXPECT_STREQ(crash_reason(), "iret with a stack pointer that is not mapped");
}

} // namespace
} // namespace parapet::nucleus::test
