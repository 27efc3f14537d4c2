// SPDX-License-Identifier: Apache-2.0
// What a guest kernel registers at boot and sets at a context switch: callbacks, trap table, stack, segment bases,
// debug registers.
#include <gtest/gtest.h>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/trap.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 NOWHERE = 0x1000, ODD = 0x0000800000000000, IN_HOLE = HOLE_START + 0x1000;

class EntryPoints : public ::testing::Test {
protected:
    FakeVm vm;
    const u64 code = vm.va(0, 0x40).address;
    Status callback(u16 type, u64 address, u16 flags = 0) {
        return vm.call(do_callback_op, CALLBACKOP_register, vm.arg(callback_register64{type, flags, address}).address);
    }
    Status uncallback(u16 type) {
        return vm.call(do_callback_op, CALLBACKOP_unregister, vm.arg(callback_unregister{type, 0}).address);
    }
};

TEST_F(EntryPoints, Callbacks) {
    EXPECT_EQ(callback(CALLBACKTYPE_event, code), 0);
    EXPECT_EQ(callback(CALLBACKTYPE_failsafe, code + 1, CALLBACKF_mask_events), 0);
    EXPECT_EQ(callback(CALLBACKTYPE_syscall, code + 2, CALLBACKF_mask_events), 0);
    EXPECT_EQ(callback(CALLBACKTYPE_syscall32, code + 3), 0);
    EXPECT_EQ(callback(CALLBACKTYPE_sysenter, code + 4, CALLBACKF_mask_events), 0);
    EXPECT_EQ(callback(CALLBACKTYPE_nmi, code + 5), 0);
    EXPECT_EQ(vm.vcpu().event_callback.address, code);
    EXPECT_TRUE(vm.vcpu().failsafe_callback.mask_events);
    EXPECT_EQ(vm.vcpu().syscall_entry, code + 2);
    EXPECT_EQ(vm.vcpu().syscall_masks_events, 1);
    EXPECT_EQ(vm.vcpu().syscall32_entry, code + 3);
    EXPECT_EQ(vm.vcpu().sysenter_callback.address, code + 4);
    EXPECT_TRUE(vm.vcpu().sysenter_callback.mask_events);
    EXPECT_EQ(vm.vcpu().traps[TRAP_nmi].address, code + 5);
    EXPECT_EQ(vm.vcpu().traps[TRAP_nmi].flags, TI_IF);
    EXPECT_EQ(callback(CALLBACKTYPE_syscall, code), 0);
    EXPECT_EQ(vm.vcpu().syscall_masks_events, 0);
}

TEST_F(EntryPoints, CallbacksRefuse) {
    for (const u16 type : {CALLBACKTYPE_event, CALLBACKTYPE_syscall, CALLBACKTYPE_nmi}) {
        EXPECT_EQ(callback(type, ODD), -XEN_EINVAL);
        EXPECT_EQ(callback(type, IN_HOLE), -XEN_EINVAL);
    }
    EXPECT_EQ(vm.vcpu().syscall_entry, 0u);
    EXPECT_EQ(callback(CALLBACKTYPE_sysenter_deprecated, code), -XEN_ENOSYS);
    EXPECT_EQ(callback(99, code), -XEN_ENOSYS);
    EXPECT_EQ(vm.call(do_callback_op, CALLBACKOP_register, NOWHERE), -XEN_EFAULT);
    EXPECT_EQ(vm.call(do_callback_op, 2, vm.va(1).address), -XEN_ENOSYS);
}

TEST_F(EntryPoints, CallbacksUnregister) {
    ASSERT_EQ(callback(CALLBACKTYPE_event, code), 0);
    EXPECT_EQ(uncallback(CALLBACKTYPE_event), -XEN_EINVAL);
    EXPECT_EQ(vm.vcpu().event_callback.address, code);
    ASSERT_EQ(callback(CALLBACKTYPE_nmi, code), 0);
    EXPECT_EQ(uncallback(CALLBACKTYPE_nmi), 0);
    EXPECT_EQ(vm.vcpu().traps[TRAP_nmi].address, 0u);
    EXPECT_EQ(uncallback(CALLBACKTYPE_sysenter), -XEN_EINVAL);
    EXPECT_EQ(uncallback(CALLBACKTYPE_syscall32), -XEN_EINVAL);
    EXPECT_EQ(uncallback(99), -XEN_ENOSYS);
}

TEST_F(EntryPoints, SetCallbacksPassesOverBadOnes) {
    EXPECT_EQ(vm.call(do_set_callbacks, code, ODD, code + 2), 0);
    EXPECT_EQ(vm.vcpu().event_callback.address, code);
    EXPECT_EQ(vm.vcpu().failsafe_callback.address, 0u);
    EXPECT_EQ(vm.vcpu().syscall_entry, code + 2);
}

TEST_F(EntryPoints, NmiOp) {
    EXPECT_EQ(vm.call(do_nmi_op, XENNMI_register_callback, vm.arg(xennmi_callback64{code, 0}).address), 0);
    EXPECT_EQ(vm.vcpu().traps[TRAP_nmi].address, code);
    EXPECT_EQ(vm.call(do_nmi_op, XENNMI_unregister_callback), 0);
    EXPECT_EQ(vm.vcpu().traps[TRAP_nmi].address, 0u);
    EXPECT_EQ(vm.call(do_nmi_op, XENNMI_register_callback, NOWHERE), -XEN_EFAULT);
    EXPECT_EQ(vm.call(do_nmi_op, XENNMI_register_callback, vm.arg(xennmi_callback64{IN_HOLE, 0}).address), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_nmi_op, 2), -XEN_ENOSYS);
}

TEST_F(EntryPoints, TrapTable) {
    const trap_info64 table[] = {{3, 3, x64::FLAT_KERNEL_CS, code},
                                 {14, TI_IF, x64::FLAT_KERNEL_CS & ~3, code + 8},
                                 {255, 0, 0x33, code + 16},
                                 {0, 0, 0, 0},
                                 {1, 0, 0x33, code}};
    EXPECT_EQ(vm.hypercall(HYPERVISOR_set_trap_table, vm.arg(table).address), 0);
    const TrapHandler* traps = vm.vcpu().traps;
    EXPECT_EQ(traps[3].flags, 3);
    EXPECT_EQ(traps[14].address, code + 8);
    EXPECT_EQ(traps[14].cs, x64::FLAT_KERNEL_CS);      // ring 3, whatever it asked for
    EXPECT_EQ(vm.vcpu().page_fault.address, code + 8); // what the entry stubs go by
    EXPECT_EQ(vm.vcpu().page_fault.flags, TI_IF);
    EXPECT_EQ(traps[255].address, code + 16);
    EXPECT_EQ(traps[1].address, 0u); // behind the end
    EXPECT_EQ(vm.hypercall(HYPERVISOR_set_trap_table, 0), 0);
    EXPECT_EQ(traps[3].address, 0u);
    EXPECT_EQ(vm.vcpu().page_fault.address, 0u);
}

TEST_F(EntryPoints, TheStubsDeliverNoPageFaultWhereSysretIsRefused) {
    vm.boot.syscall_arrival = doorbell::SyscallArrival::page_fault;
    const trap_info64 table[] = {{14, TI_IF, x64::FLAT_KERNEL_CS, code}, {0, 0, 0, 0}};
    EXPECT_EQ(vm.hypercall(HYPERVISOR_set_trap_table, vm.arg(table).address), 0);
    EXPECT_EQ(vm.vcpu().traps[14].address, code);
    EXPECT_EQ(vm.vcpu().page_fault.address, 0u);
}

TEST_F(EntryPoints, TrapTableRefuses) {
    const trap_info64 table[] = {{3, 0, 0x33, code}, {4, 0, 0x33, ODD}, {5, 0, 0x33, code}, {0, 0, 0, 0}};
    EXPECT_EQ(vm.call(do_set_trap_table, vm.arg(table).address), -XEN_EINVAL);
    EXPECT_EQ(vm.vcpu().traps[3].address, code); // what came before stays
    EXPECT_EQ(vm.vcpu().traps[5].address, 0u);
    EXPECT_EQ(vm.call(do_set_trap_table, NOWHERE), -XEN_EFAULT);
    const trap_info64 hole[] = {{3, 0, 0x33, IN_HOLE}, {0, 0, 0, 0}};
    EXPECT_EQ(vm.call(do_set_trap_table, vm.arg(hole).address), -XEN_EINVAL);
}

TEST_F(EntryPoints, EndlessTrapTableIsTakenInPieces) {
    for (u64 pfn = 4; pfn < 8; pfn++) // 1024 entries, no end
        for (u64 i = 0; i < PAGE_SIZE / sizeof(trap_info64); i++)
            vm.at<trap_info64>(pfn, i * sizeof(trap_info64)) = {static_cast<u8>(i), 0, 0x33, code + pfn};
    (void)vm.call(do_set_trap_table, vm.va(4).address);
    EXPECT_TRUE(vm.vcpu().preempted);
    EXPECT_EQ(vm.vcpu().continuation.a[0], vm.va(5).address);
    vm.at<trap_info64>(8).address = 0;
    EXPECT_EQ(vm.hypercall(HYPERVISOR_set_trap_table, vm.va(4).address), 0);
    EXPECT_EQ(vm.vcpu().traps[9].address, code + 7);
}

TEST_F(EntryPoints, StackSwitch) {
    EXPECT_EQ(vm.call(do_stack_switch, 0x2b & ~3, vm.va(9).address), 0);
    EXPECT_EQ(vm.vcpu().kernel_ss, 0x2bu);
    EXPECT_EQ(vm.vcpu().kernel_sp, vm.va(9).address);
    EXPECT_EQ(vm.call(do_stack_switch, 0x2b, HOLE_END + 64), 0);
    EXPECT_EQ(vm.vcpu().kernel_sp, 0u);
}

TEST_F(EntryPoints, FpuTaskswitch) {
    EXPECT_EQ(vm.call(do_fpu_taskswitch, 1), 0);
    EXPECT_EQ(vm.vcpu().ts, 1);
    EXPECT_NE(vm.take_work().flags & ExitWork::SET_TS, 0u);
    EXPECT_EQ(vm.call(do_fpu_taskswitch, 7), 0);
    EXPECT_EQ(vm.take_work().flags & ExitWork::SET_TS, 0u); // as it was
    EXPECT_EQ(vm.call(do_fpu_taskswitch, 0), 0);
    EXPECT_EQ(vm.vcpu().ts, 0);
    EXPECT_NE(vm.take_work().flags & ExitWork::SET_TS, 0u);
}

TEST_F(EntryPoints, SegmentBases) {
    EXPECT_EQ(vm.call(do_set_segment_base, SEGBASE_FS, 0x1000), 0);
    EXPECT_EQ(vm.call(do_set_segment_base, SEGBASE_GS_KERNEL, code), 0);
    EXPECT_EQ(vm.call(do_set_segment_base, SEGBASE_GS_USER, 0x3000), 0);
    const ExitWork work = vm.take_work();
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000100), 0x1000u);
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000101), code);
    EXPECT_EQ(FakeVm::queued_msr(work, 0xc0000102), 0x3000u);
    for (const unsigned which : {SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER})
        EXPECT_EQ(vm.call(do_set_segment_base, which, ODD), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_set_segment_base, 4, 0), -XEN_EINVAL);
    EXPECT_EQ(vm.take_work().flags, 0u);
    EXPECT_EQ(vm.call(do_set_segment_base, SEGBASE_GS_USER_SEL, 0x12345007b), 0);
    const ExitWork selector = vm.take_work();
    EXPECT_NE(selector.flags & ExitWork::LOAD_GS_SELECTOR, 0u);
    EXPECT_EQ(selector.gs_selector, 0x007bu);
}

class DebugRegisters : public EntryPoints {
protected:
    static constexpr u64 CR4_DE = 8;
    Status set(u64 number, u64 value) { return vm.call(do_set_debugreg, number, value); }
    u64 read(u64 number) { return static_cast<u64>(vm.call(do_get_debugreg, number)); }
};

TEST_F(DebugRegisters, AddressesOutsideTheHole) {
    EXPECT_EQ(set(0, code), 0);
    EXPECT_NE(vm.take_work().flags & ExitWork::DEBUG_REGS, 0u);
    EXPECT_EQ(read(0), code);
    for (const u64 bad : {HOLE_START, HOLE_END - 1, ODD, ODD - 1})
        EXPECT_EQ(set(3, bad), -XEN_EPERM) << std::hex << bad;
    EXPECT_EQ(vm.take_work().flags & ExitWork::DEBUG_REGS, 0u);
    EXPECT_EQ(set(3, HOLE_END), 0);
    EXPECT_EQ(set(2, ~0ULL), 0);
    EXPECT_EQ(set(1, 0), 0);
}

TEST_F(DebugRegisters, StatusAndControlBits) {
    EXPECT_EQ(read(6), 0xffff0ff0u);
    EXPECT_EQ(read(7), 0x400u);
    EXPECT_EQ(set(6, 0xffffffff), 0);
    EXPECT_EQ(read(6), 0xffffefffu);
    EXPECT_EQ(set(7, 0xd001), 0);
    for (const unsigned number : {4u, 5u, 6u, 7u})
        EXPECT_EQ(set(number, 1ULL << 32), -XEN_EINVAL) << number; // reserved bits drop out
    EXPECT_EQ(read(7), 0x401u);
    EXPECT_EQ(set(7, 1 << 13), -XEN_EPERM); // general detect
    EXPECT_EQ(read(7), 0x401u);
}

TEST_F(DebugRegisters, IoBreakpointsNeverReachTheProcessor) {
    constexpr u64 IO_0 = 2 << 16 | 1;
    EXPECT_EQ(set(7, IO_0), -XEN_EPERM); // CR4.DE clear
    vm.vcpu().cr4 |= CR4_DE;
    EXPECT_EQ(set(7, IO_0 | 4), 0); // and an execution breakpoint, in DR1
    EXPECT_EQ(vm.vcpu().dr[7] & 0xff, 4u);
    EXPECT_EQ(read(7), IO_0 | 4 | 0x400);
    EXPECT_EQ(set(7, 0), 0);
    EXPECT_EQ(read(7), 0x400u);
}

TEST_F(DebugRegisters, Aliases) {
    EXPECT_EQ(set(5, 3), 0);
    EXPECT_EQ(read(7), 0x403u);
    EXPECT_EQ(read(4), read(6));
    vm.vcpu().cr4 |= CR4_DE;
    EXPECT_EQ(set(4, 0), -XEN_ENODEV);
    EXPECT_EQ(set(5, 0), -XEN_ENODEV);
    EXPECT_EQ(vm.call(do_get_debugreg, 5), -XEN_ENODEV);
    EXPECT_EQ(set(8, 0), -XEN_ENODEV);
    EXPECT_EQ(vm.call(do_get_debugreg, 8), -XEN_ENODEV);
    EXPECT_EQ(set(~0ULL, 0), -XEN_ENODEV);
}

} // namespace
} // namespace parapet::nucleus::test
