// SPDX-License-Identifier: Apache-2.0
// vcpu_op: registered vcpu_info, up and down, and starting a second vCPU.
#include <gtest/gtest.h>

#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/checks.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/sched.hpp"
#include "pv-abi/vcpu_context.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

class VcpuOp : public ::testing::Test {
protected:
    FakeVm vm;
    Status op(unsigned command, u32 vcpu, u64 arg = 0) { return vm.call(do_vcpu_op, command, vcpu, arg); }
    Status register_info(u32 vcpu, u64 mfn, u32 offset) {
        return op(VCPUOP_register_vcpu_info, vcpu, vm.arg(vcpu_register_vcpu_info{mfn, offset, 0}).address);
    }
};

TEST_F(VcpuOp, AbsentVcpus) {
    for (const u32 command : {VCPUOP_initialise, VCPUOP_up, VCPUOP_is_up, VCPUOP_get_runstate_info, 77u}) {
        EXPECT_EQ(op(command, 1), -XEN_ENOENT);
        EXPECT_EQ(op(command, 0xffffffff), -XEN_ENOENT);
    }
    EXPECT_EQ(op(77, 0), -XEN_ENOSYS);
}

TEST_F(VcpuOp, RegisterInfoMovesIt) {
    vm.vcpu().info64().arch.cr2 = 0x1234;
    const vcpu_time_info time = vm.vcpu().info64().time;
    ASSERT_EQ(register_info(0, vm.mfn(5).number, 128), 0);
    const auto& info = vm.at<vcpu_info64>(5, 128);
    EXPECT_EQ(reinterpret_cast<const u8*>(&info), vm.vcpu().info);
    EXPECT_EQ(info.arch.cr2, 0x1234u);
    EXPECT_EQ(info.time.tsc_to_system_mul, time.tsc_to_system_mul);
    EXPECT_EQ(info.evtchn_upcall_mask, 1);
    EXPECT_EQ(info.evtchn_upcall_pending, 1); // lest an event be lost
    EXPECT_EQ(info.evtchn_pending_sel, ~0ULL);
    // The entry stubs look through the area's window, once what they saw before is flushed.
    EXPECT_EQ(reinterpret_cast<u64>(vm.vcpu().entry_info), area_va(vm.vcpu(), doorbell::AREA_INFO + 128));
    EXPECT_EQ(area_slot(vm.vcpu(), doorbell::AREA_INFO)->mfn(), vm.mfn(5));
    EXPECT_EQ(area_slot(vm.vcpu(), doorbell::AREA_INFO)->raw & Pte::USER, 0u);
    EXPECT_NE(vm.take_work().flags & ExitWork::FLUSH_TLB, 0u);
    // The frame stays writable for as long as we write to it: it cannot become a page table.
    EXPECT_EQ(vm.domain().frames[vm.mfn(5)].type_count(), 2u);
    EXPECT_EQ(register_info(0, vm.mfn(6).number, 0), -XEN_EINVAL); // once only
}

TEST_F(VcpuOp, RegisterInfoRefuses) {
    const u64 good = vm.mfn(5).number;
    EXPECT_EQ(register_info(0, good, PAGE_SIZE - 63), -XEN_ENXIO);
    EXPECT_EQ(register_info(0, good, PAGE_SIZE - 56), -XEN_ENXIO);
    EXPECT_EQ(register_info(0, good, 0xffffffff), -XEN_ENXIO);
    EXPECT_EQ(register_info(0, good, 4), -XEN_ENXIO);
    EXPECT_EQ(register_info(0, ~0ULL, 0), -XEN_EINVAL);
    EXPECT_EQ(register_info(0, ~0ULL >> 12, 0), -XEN_EINVAL);
    EXPECT_EQ(register_info(0, FakeVm::SHARED_INFO_MFN, 0), -XEN_EINVAL);     // only lent to it
    EXPECT_EQ(register_info(0, FakeVm::STUB_ROOT_MFN, 0), -XEN_EINVAL);       // the nucleus's
    EXPECT_EQ(register_info(0, vm.mfn(vm.l1_pfn(0)).number, 0), -XEN_EINVAL); // a page table
    EXPECT_EQ(register_info(0, FakeVm::FIRST_MFN + 512 + 3, 0), -XEN_EINVAL); // not the domain's yet
    EXPECT_EQ(op(VCPUOP_register_vcpu_info, 0, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(vm.domain().frames[vm.mfn(5)].type_count(), 1u);
    EXPECT_EQ(register_info(0, good, PAGE_SIZE - 64), 0);
}

TEST_F(VcpuOp, RegisterInfoOfAnother) {
    Vcpu& other = vm.add_vcpu();
    EXPECT_EQ(register_info(1, vm.mfn(5).number, 0), 0); // offline
    EXPECT_EQ(other.info, vm.frame(vm.mfn(5)));
    Vcpu& third = vm.add_vcpu();
    third.online = true;
    EXPECT_EQ(register_info(2, vm.mfn(6).number, 0), -XEN_EINVAL);
}

TEST_F(VcpuOp, SendNmi) {
    const u64 handler = vm.va(0, 0x100).address;
    vm.vcpu().traps[2] = {.address = handler, .cs = 0xe033, .flags = 4};
    vm.vcpu().regs->rsp = vm.va(20).address;
    EXPECT_EQ(op(VCPUOP_send_nmi, 0, 8), -XEN_EINVAL);
    deliver_pending_events(vm.vcpu());
    EXPECT_NE(vm.vcpu().regs->rip, handler);
    EXPECT_EQ(op(VCPUOP_send_nmi, 0), 0);
    deliver_pending_events(vm.vcpu()); // more of it in delivery_test.cpp
    EXPECT_EQ(vm.vcpu().regs->rip, handler);
}

TEST_F(VcpuOp, SendNmiToAnotherWakesIt) {
    Vcpu& other = vm.add_vcpu();
    EXPECT_EQ(op(VCPUOP_send_nmi, 1), 0);
    EXPECT_TRUE(delivery_due(other));
    EXPECT_FALSE(delivery_due(vm.vcpu()));
    EXPECT_EQ(vm.machine.wakes, std::vector<u32>{1});
}

TEST_F(VcpuOp, PhysidIsForPinnedOnes) {
    EXPECT_EQ(op(VCPUOP_get_physid, 0, vm.va(1).address), -XEN_EINVAL);
}

TEST_F(VcpuOp, LastOneDownEndsTheDomain) {
    EXPECT_EQ(op(VCPUOP_is_up, 0), 1);
    EXPECT_EQ(op(VCPUOP_up, 0), 0); // it is
    EXPECT_EQ(op(VCPUOP_down, 0), 0);
    EXPECT_TRUE(vm.domain().dead);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::crash); // nobody asked for power-off
    EXPECT_STREQ(vm.mailbox().request.crash.reason, "the guest stopped its last virtual CPU without shutting down");
    EXPECT_NE(vm.take_work().flags & ExitWork::STOP, 0u);
}

class SecondVcpu : public VcpuOp {
protected:
    Vcpu& other = vm.add_vcpu();
    static constexpr u64 CONTEXT_PFN = 10; // and 11: it is larger than a page
    vcpu_guest_context64 context = good_context();

    vcpu_guest_context64 good_context() {
        vcpu_guest_context64 c = {};
        c.flags = VGCF_in_kernel | VGCF_syscall_disables_events;
        c.user_regs.rip = vm.va(0, 0x40).address;
        c.user_regs.rsp = vm.va(20).address;
        c.user_regs.rdi = 0x77;
        c.user_regs.rflags = rflags::IF | rflags::IOPL | rflags::TF;
        c.user_regs.cs = x64::FLAT_KERNEL_CS & ~3;
        c.user_regs.ss = x64::FLAT_KERNEL_SS;
        c.trap_ctxt[14] = {.vector = 14, .flags = TI_IF, .cs = x64::FLAT_KERNEL_CS, .address = vm.va(3).address};
        c.kernel_ss = x64::FLAT_KERNEL_SS;
        c.kernel_sp = vm.va(20).address;
        c.ctrlreg[3] = x64::xen_pfn_to_cr3(vm.mfn(vm.l4_pfn()).number);
        c.event_callback_eip = vm.va(0, 0x80).address;
        c.failsafe_callback_eip = vm.va(0, 0x90).address;
        c.syscall_callback_eip = vm.va(0, 0xa0).address;
        c.fs_base = 0x1111000;
        c.gs_base_kernel = vm.va(30).address;
        c.gs_base_user = 0x2222000;
        return c;
    }
    Status initialise() {
        const u8* bytes = reinterpret_cast<const u8*>(&context);
        copy_bytes(&vm.at<u8>(CONTEXT_PFN), bytes, PAGE_SIZE);
        copy_bytes(&vm.at<u8>(CONTEXT_PFN + 1), bytes + PAGE_SIZE, sizeof(context) - PAGE_SIZE);
        return op(VCPUOP_initialise, 1, vm.va(CONTEXT_PFN).address);
    }
};

TEST_F(SecondVcpu, InitialiseUpStart) {
    EXPECT_EQ(op(VCPUOP_is_up, 1), 0);
    EXPECT_EQ(op(VCPUOP_up, 1), -XEN_EINVAL); // not initialised
    ASSERT_EQ(initialise(), 0);
    EXPECT_EQ(initialise(), -XEN_EEXIST);
    EXPECT_EQ(other.kernel_root, vm.mfn(vm.l4_pfn()));
    EXPECT_EQ(other.user_root, NO_MFN);
    EXPECT_EQ(vm.domain().frames[vm.mfn(vm.l4_pfn())].type_count(), 3u); // a pin and two roots
    EXPECT_EQ(other.traps[14].address, vm.va(3).address);
    EXPECT_EQ(other.page_fault.address, vm.va(3).address);
    EXPECT_EQ(other.syscall_masks_events, 1);
    EXPECT_EQ(other.kernel_sp, vm.va(20).address);

    EXPECT_EQ(op(VCPUOP_up, 1), 0);
    EXPECT_EQ(op(VCPUOP_is_up, 1), 1);
    EXPECT_FALSE(vm.machine.wakes.empty());
    EXPECT_EQ(vm.machine.wakes.back(), 1u);

    start_vcpu(other);
    EXPECT_EQ(other.regs->rip, vm.va(0, 0x40).address);
    EXPECT_EQ(other.regs->rdi, 0x77u);
    EXPECT_EQ(other.regs->cs, x64::FLAT_KERNEL_CS);
    EXPECT_EQ(other.regs->rflags, rflags::IF | rflags::FIXED); // no IOPL, no TF, no matter what it asked for
    const ExitWork work = FakeVm::take_work(other);
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000100), 0x1111000u);
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000101), vm.va(30).address);
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000102), 0x2222000u);
    EXPECT_EQ(other.runstate.state, RUNSTATE_running);
    EXPECT_FALSE(vm.domain().dead);
}

TEST_F(SecondVcpu, UserRootIsTakenToo) {
    context.ctrlreg[1] = x64::xen_pfn_to_cr3(vm.mfn(vm.l4_pfn()).number);
    ASSERT_EQ(initialise(), 0);
    EXPECT_EQ(other.user_root, vm.mfn(vm.l4_pfn()));
}

TEST_F(SecondVcpu, BadContexts) {
    const auto refused = [&](auto change) {
        context = good_context();
        change(context);
        const Status status = initialise();
        EXPECT_FALSE(other.initialised);
        return status;
    };
    using C = vcpu_guest_context64;
    constexpr u64 IN_HOLE = HOLE_START + 8, ODD = 0x0000800000000000;
    EXPECT_EQ(refused([](C& c) { c.user_regs.rip = IN_HOLE; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.user_regs.rip = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.user_regs.rsp = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.event_callback_eip = IN_HOLE; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.failsafe_callback_eip = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.syscall_callback_eip = IN_HOLE; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.trap_ctxt[255].address = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.gs_base_user = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.fs_base = ODD; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.ldt_ents = 8193; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) {
                  c.ldt_ents = 1;
                  c.ldt_base = 8;
              }),
              -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) { c.gdt_ents = FIRST_RESERVED_GDT_ENTRY + 1; }), -XEN_EINVAL);
    EXPECT_EQ(refused([](C& c) {
                  c.gdt_ents = 1;
                  c.gdt_frames[0] = FakeVm::STUB_ROOT_MFN;
              }),
              -XEN_EINVAL);
    EXPECT_NE(refused([&](C& c) { c.ctrlreg[3] = x64::xen_pfn_to_cr3(vm.mfn(5).number); }), 0); // writable page
    EXPECT_NE(refused([](C& c) { c.ctrlreg[3] = ~0ULL; }), 0);
    EXPECT_NE(refused([](C& c) { c.ctrlreg[1] = ~0ULL; }), 0);
    EXPECT_EQ(op(VCPUOP_initialise, 1, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(vm.domain().dead, false);
    context = good_context();
    EXPECT_EQ(initialise(), 0); // after all that
    EXPECT_EQ(initialise(), -XEN_EEXIST);
    EXPECT_EQ(op(VCPUOP_initialise, 0, vm.va(CONTEXT_PFN).address), -XEN_EEXIST);
}

TEST_F(SecondVcpu, AStackThatStubsMayNotWriteIsNone) {
    context.kernel_sp = HOLE_END + 8;
    ASSERT_EQ(initialise(), 0);
    EXPECT_EQ(other.kernel_sp, 0u);
}

TEST_F(SecondVcpu, DownAndUpAgain) {
    ASSERT_EQ(initialise(), 0);
    ASSERT_EQ(op(VCPUOP_up, 1), 0);
    start_vcpu(other);
    (void)FakeVm::take_work(other);
    EXPECT_EQ(vm.call_on(other, do_vcpu_op, VCPUOP_down, 1), 0);
    EXPECT_FALSE(vm.domain().dead);
    EXPECT_NE(FakeVm::take_work(other).flags & ExitWork::BLOCK, 0u);
    EXPECT_EQ(other.runstate.state, RUNSTATE_offline);
    EXPECT_EQ(op(VCPUOP_is_up, 1), 0);
    // Events do not bring it back, VCPUOP_up does.
    other.kicked = true;
    handle_wake(other);
    EXPECT_NE(FakeVm::take_work(other).flags & ExitWork::BLOCK, 0u);
    EXPECT_EQ(op(VCPUOP_up, 1), 0);
    handle_wake(other);
    EXPECT_EQ(FakeVm::take_work(other).flags & ExitWork::BLOCK, 0u);
    EXPECT_EQ(other.runstate.state, RUNSTATE_running);
}

TEST(SafeStack, KeepsClearOfTheHole) {
    EXPECT_TRUE(is_safe_stack(0xffff880000001000));
    EXPECT_TRUE(is_safe_stack(HOLE_END + ENTRY_FRAME_BYTES));
    EXPECT_FALSE(is_safe_stack(HOLE_END + ENTRY_FRAME_BYTES - 8));
    EXPECT_FALSE(is_safe_stack(HOLE_END));
    EXPECT_FALSE(is_safe_stack(HOLE_START));
    EXPECT_FALSE(is_safe_stack(HOLE_START + 0x1000));
    EXPECT_FALSE(is_safe_stack(0x0000800000000000));
    EXPECT_TRUE(is_safe_stack(0x00007ffffffffff0));
    EXPECT_FALSE(is_safe_stack(0));
    EXPECT_FALSE(is_safe_stack(ENTRY_FRAME_BYTES - 8)); // would wrap
}

} // namespace
} // namespace parapet::nucleus::test
