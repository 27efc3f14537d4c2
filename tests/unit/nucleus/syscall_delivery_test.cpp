// SPDX-License-Identifier: Apache-2.0
// The frames that system calls leave on the guest kernel's stack, and IOPL as the guest sees it.
#include <gtest/gtest.h>
#include <utility>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/physdev.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 USER_CS32 = 0xe023, USER_CS = 0xe033, USER_SS = 0xe02b, STACK_PAGE = 3, CALLER = 0x400123;

struct Frame {
    u64 rcx, r11, rip, cs, rflags, rsp, ss;
};
struct FrameWithCode {
    u64 rcx, r11, error, rip, cs, rflags, rsp, ss;
};

class SyscallDelivery : public ::testing::Test {
protected:
    FakeVm vm;
    const u64 code = vm.va(0, 0x40).address;

    SyscallDelivery() {
        vm.vcpu().user_root = vm.vcpu().kernel_root;
        vm.vcpu().kernel_sp = vm.va(STACK_PAGE + 1).address;
        vm.vcpu().info64().evtchn_upcall_mask = 0;
        for (const unsigned vector : {TRAP_invalid_op, TRAP_gp_fault})
            set_trap(vm.vcpu(), static_cast<u8>(vector), {.address = code + vector, .cs = 0xe033, .flags = 0});
        caller(USER_CS32);
    }
    /// User mode, as after SYSCALL.
    void caller(u64 cs) {
        vm.vcpu().kernel_mode = 0;
        Regs& regs = *vm.vcpu().regs;
        regs = {};
        regs.rip = regs.rcx = CALLER;
        regs.r11 = regs.rflags = rflags::IF | rflags::FIXED | rflags::DF | rflags::CF;
        regs.cs = cs;
        regs.ss = USER_SS;
        regs.rsp = 0x7fff1234;
    }
    void callback(u16 type, u16 flags, u64 address) {
        const GuestVa request = vm.arg(callback_register64{type, flags, address});
        ASSERT_EQ(vm.call(do_callback_op, CALLBACKOP_register, request.address), 0);
    }
    /// Where the entry stubs look for vcpu_info, from the start of the vCPU's area.
    u64 entry_info() { return reinterpret_cast<u64>(vm.vcpu().entry_info) % doorbell::VCPU_AREA_SIZE; }
    template <typename T>
    T frame() {
        EXPECT_EQ(vm.vcpu().regs->rsp, vm.va(STACK_PAGE + 1).address - sizeof(T));
        return vm.out<T>(STACK_PAGE, PAGE_SIZE - sizeof(T));
    }
};

TEST_F(SyscallDelivery, Syscall32HasTheFrameOfCompatibilityCode) {
    callback(CALLBACKTYPE_syscall32, 0, code);
    vm.enter(vector::SYSCALL32);
    const auto found = frame<Frame>();
    EXPECT_EQ(found.rip, CALLER);
    EXPECT_EQ(found.rcx, CALLER);
    EXPECT_EQ(found.cs, USER_CS32);
    EXPECT_EQ(found.ss, USER_SS);
    EXPECT_EQ(found.rsp, 0x7fff1234u);
    EXPECT_EQ(found.rflags, rflags::IF | rflags::FIXED | rflags::DF | rflags::CF);
    EXPECT_EQ(found.r11, found.rflags);
    EXPECT_EQ(vm.vcpu().regs->rip, code);
    EXPECT_EQ(vm.vcpu().regs->rflags & rflags::DF, 0u);
    EXPECT_EQ(vm.vcpu().kernel_mode, 1);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 0);
}

TEST_F(SyscallDelivery, Syscall32MasksEventsAsSyscallDoes) {
    callback(CALLBACKTYPE_syscall32, CALLBACKF_mask_events, code);
    vm.enter(vector::SYSCALL32);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 0);
    callback(CALLBACKTYPE_syscall, CALLBACKF_mask_events, code);
    caller(USER_CS32);
    vm.enter(vector::SYSCALL32);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 1);
    EXPECT_EQ(frame<Frame>().cs, USER_CS32) << "the mask as it was before";
}

TEST_F(SyscallDelivery, WithoutACallbackTheInstructionIsUndefined) {
    for (const auto& [vector, cs] : {std::pair{vector::SYSCALL, USER_CS}, {vector::SYSCALL32, USER_CS32}}) {
        caller(cs);
        vm.enter(vector);
        EXPECT_EQ(frame<Frame>().rip, CALLER - 2);
        EXPECT_EQ(vm.vcpu().regs->rip, code + TRAP_invalid_op);
        EXPECT_NE(vm.vcpu().regs->rflags & rflags::DF, 0u);
    }
}

TEST_F(SyscallDelivery, SysenterTellsNotWhereItCameFrom) {
    const auto enter = [this] {
        caller(3);
        Regs& regs = *vm.vcpu().regs;
        regs.rip = regs.rsp = 0; // as the entry stub leaves them
        regs.rflags = rflags::FIXED | rflags::NT;
        regs.rcx = 5;
        vm.enter(vector::SYSENTER);
    };
    enter();
    const auto refused = frame<FrameWithCode>();
    EXPECT_EQ(refused.error, 0u);
    EXPECT_EQ(refused.rip, 0u);
    EXPECT_EQ(vm.vcpu().regs->rip, code + TRAP_gp_fault);

    callback(CALLBACKTYPE_sysenter, CALLBACKF_mask_events, code);
    enter();
    const auto found = frame<Frame>();
    EXPECT_EQ(found.rip, 0u);
    EXPECT_EQ(found.rsp, 0u);
    EXPECT_EQ(found.cs, 3u);
    EXPECT_EQ(found.ss, USER_SS);
    EXPECT_EQ(found.rcx, 5u);
    EXPECT_EQ(found.rflags, rflags::FIXED | rflags::NT | rflags::IF);
    EXPECT_EQ(vm.vcpu().regs->rip, code);
    EXPECT_EQ(vm.vcpu().regs->rflags & rflags::NT, 0u);
    EXPECT_EQ(vm.vcpu().info64().evtchn_upcall_mask, 1);
}

TEST_F(SyscallDelivery, ShowsIoplWhereTheGuestWantsItInItsFlags) {
    callback(CALLBACKTYPE_syscall, 0, code);
    const GuestVa request = vm.arg(physdev_set_iopl{2});
    ASSERT_EQ(vm.call(do_physdev_op, PHYSDEVOP_set_iopl, request.address), 0);
    const auto shown = [this] {
        caller(USER_CS);
        vm.enter(vector::SYSCALL);
        return (frame<Frame>().rflags & rflags::IOPL) >> rflags::IOPL_SHIFT;
    };
    EXPECT_EQ(shown(), 0u);
    ASSERT_EQ(vm.call(do_vm_assist, VMASST_CMD_enable, VMASST_TYPE_architectural_iopl), 0);
    EXPECT_EQ(entry_info(), offsetof(Vcpu, core_only)) << "the entry stubs must leave frames to the core";
    EXPECT_EQ(shown(), 2u);

    iret_context to{};
    to.rip = CALLER;
    to.cs = USER_CS;
    to.ss = USER_SS;
    to.rflags = rflags::IOPL | rflags::IF;
    vm.vcpu().regs->rsp = vm.arg(to).address;
    vm.call(do_iret);
    EXPECT_EQ(vm.vcpu().iopl, 3u);
    EXPECT_EQ(vm.vcpu().regs->rflags & rflags::IOPL, 0u) << "never the processor's";
    EXPECT_EQ(shown(), 3u);
    ASSERT_EQ(vm.call(do_vm_assist, VMASST_CMD_disable, VMASST_TYPE_architectural_iopl), 0);
    EXPECT_NE(entry_info(), offsetof(Vcpu, core_only));
    EXPECT_EQ(shown(), 0u);
}

} // namespace
} // namespace parapet::nucleus::test
