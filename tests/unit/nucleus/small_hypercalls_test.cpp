// SPDX-License-Identifier: Apache-2.0
// xen_version, console_io, physdev_op, vm_assist.
#include <gtest/gtest.h>

#include "pv-abi/console.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/physdev.hpp"
#include "pv-abi/version.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u64 NOWHERE = 0x1000;

class SmallHypercalls : public ::testing::Test {
protected:
    FakeVm vm;
};

TEST_F(SmallHypercalls, VersionIsXen417) {
    EXPECT_EQ(vm.call(do_xen_version, XENVER_version), 4 << 16 | 17);
}

TEST_F(SmallHypercalls, VersionStrings) {
    for (const unsigned what : {XENVER_extraversion, XENVER_compile_info, XENVER_capabilities, XENVER_changeset,
                                XENVER_platform_parameters, XENVER_guest_handle, XENVER_commandline}) {
        fill_bytes(&vm.at<u8>(2), 0xee, PAGE_SIZE);
        EXPECT_EQ(vm.call(do_xen_version, what, vm.va(2).address), 0) << what;
        EXPECT_EQ(vm.call(do_xen_version, what, NOWHERE), -XEN_EFAULT) << what;
        EXPECT_EQ(vm.at<u8>(2, 1024), 0xee) << what; // none is longer
    }
    vm.call(do_xen_version, XENVER_capabilities, vm.va(2).address);
    EXPECT_STREQ(&vm.at<char>(2), "xen-3.0-x86_64 ");
    vm.call(do_xen_version, XENVER_extraversion, vm.va(2).address);
    EXPECT_LT(std::string(&vm.at<char>(2)).size(), XEN_EXTRAVERSION_LEN);
    vm.call(do_xen_version, XENVER_platform_parameters, vm.va(2).address);
    EXPECT_EQ(vm.at<u64>(2), HOLE_START);
    vm.call(do_xen_version, XENVER_guest_handle, vm.va(2).address);
    EXPECT_EQ(vm.at<u8>(2, 15), 16);
}

TEST_F(SmallHypercalls, VersionFeatures) {
    EXPECT_EQ(vm.call(do_xen_version, XENVER_get_features, vm.arg(xen_feature_info{0, 0}).address), 0);
    const u32 features = vm.out<xen_feature_info>().submap;
    const auto has = [&](unsigned bit) { return (features >> bit & 1) != 0; };
    EXPECT_TRUE(has(XENFEAT_mmu_pt_update_preserve_ad));
    EXPECT_TRUE(has(XENFEAT_gnttab_map_avail_bits));
    EXPECT_FALSE(has(XENFEAT_writable_page_tables));
    EXPECT_FALSE(has(XENFEAT_writable_descriptor_tables));
    EXPECT_FALSE(has(XENFEAT_auto_translated_physmap));
    EXPECT_FALSE(has(XENFEAT_dom0));
    EXPECT_EQ(vm.call(do_xen_version, XENVER_get_features, vm.arg(xen_feature_info{1, 0}).address), -XEN_EINVAL);
}

TEST_F(SmallHypercalls, VersionOther) {
    EXPECT_EQ(vm.call(do_xen_version, XENVER_pagesize), 4096);
    EXPECT_EQ(vm.call(do_xen_version, XENVER_pagesize, 8), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_xen_version, XENVER_build_id, vm.va(2).address), -XEN_EPERM);
    EXPECT_EQ(vm.call(do_xen_version, 11), -XEN_ENOSYS);
}

TEST_F(SmallHypercalls, ConsoleWriteReachesTheLog) {
    const char text[] = "hello";
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, CONSOLEIO_write, 5, vm.arg(text).address), 0);
    ASSERT_EQ(vm.machine.requests.size(), 1u);
    EXPECT_EQ(vm.machine.requests[0].kind, doorbell::Request::console_write);
    EXPECT_EQ(vm.machine.requests[0].text, "hello");
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, CONSOLEIO_write, 0, NOWHERE), 0);
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, CONSOLEIO_write, 5, NOWHERE), -XEN_EFAULT);
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, CONSOLEIO_read, 5, vm.va(1).address), -XEN_EPERM);
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, 2, 5, vm.va(1).address), -XEN_EPERM);
    EXPECT_EQ(vm.machine.requests.size(), 1u);
}

TEST_F(SmallHypercalls, LongConsoleWriteComesInPieces) {
    for (u64 i = 0; i < 5000; i++)
        *static_cast<char*>(static_cast<void*>(vm.frame(vm.mfn(4 + i / PAGE_SIZE)) + i % PAGE_SIZE)) =
            static_cast<char>('a' + i % 26);
    const u64 rip = vm.vcpu().regs->rip;
    EXPECT_EQ(vm.hypercall(HYPERVISOR_console_io, CONSOLEIO_write, 5000, vm.va(4).address), 0);
    ASSERT_EQ(vm.machine.requests.size(), 3u);
    std::string all;
    for (const RequestRecord& request : vm.machine.requests)
        all += request.text;
    ASSERT_EQ(all.size(), 5000u);
    EXPECT_EQ(all[4999], 'a' + 4999 % 26);
    EXPECT_EQ(vm.vcpu().regs->rip, rip + vm.boot.hypercall_instruction_length);
}

class Physdev : public SmallHypercalls {
protected:
    template <typename T>
    Status op(unsigned command, const T& argument) {
        return vm.call(do_physdev_op, command, vm.arg(argument).address);
    }
};

TEST_F(Physdev, Iopl) {
    EXPECT_EQ(op(PHYSDEVOP_set_iopl, physdev_set_iopl{1}), 0);
    EXPECT_EQ(vm.vcpu().iopl, 1u);
    EXPECT_EQ(op(PHYSDEVOP_set_iopl, physdev_set_iopl{4}), -XEN_EINVAL);
    EXPECT_EQ(vm.vcpu().iopl, 1u);
    EXPECT_EQ(vm.call(do_physdev_op, PHYSDEVOP_set_iopl, NOWHERE), -XEN_EFAULT);
}

TEST_F(Physdev, IoBitmap) {
    EXPECT_EQ(op(PHYSDEVOP_set_iobitmap, physdev_set_iobitmap64{vm.va(2).address, 1024}), 0);
    EXPECT_EQ(vm.vcpu().io_bitmap_ports, 1024u);
    EXPECT_EQ(op(PHYSDEVOP_set_iobitmap, physdev_set_iobitmap64{vm.va(2).address, 65537}), -XEN_EINVAL);
    EXPECT_EQ(op(PHYSDEVOP_set_iobitmap, physdev_set_iobitmap64{HOLE_START, 8}), -XEN_EINVAL);
}

TEST_F(Physdev, InterruptsDoNotExist) {
    EXPECT_EQ(op(PHYSDEVOP_irq_status_query, physdev_irq_status_query{3, 0}), 0);
    EXPECT_EQ(vm.out<physdev_irq_status_query>().flags, XENIRQSTAT_needs_eoi);
    EXPECT_EQ(op(PHYSDEVOP_irq_status_query, physdev_irq_status_query{100000, 0}), -XEN_EINVAL);
    EXPECT_EQ(op(PHYSDEVOP_eoi, physdev_eoi{3}), -XEN_EINVAL);
    EXPECT_EQ(op(PHYSDEVOP_map_pirq, physdev_map_pirq64{}), -XEN_EPERM);
    EXPECT_EQ(op(PHYSDEVOP_get_free_pirq, physdev_get_free_pirq{}), -XEN_ENOSPC);
    EXPECT_EQ(op(PHYSDEVOP_apic_read, physdev_apic64{}), -XEN_EPERM);
    EXPECT_EQ(op(4, physdev_eoi{3}), 0); // IRQ_UNMASK_NOTIFY
    physdev_map_pirq64 map{};
    map.domid = 55;
    EXPECT_EQ(op(PHYSDEVOP_map_pirq, map), -XEN_ESRCH);
    for (const unsigned command :
         {PHYSDEVOP_map_pirq, PHYSDEVOP_get_free_pirq, PHYSDEVOP_apic_read, PHYSDEVOP_setup_gsi})
        EXPECT_EQ(vm.call(do_physdev_op, command, NOWHERE), -XEN_EFAULT) << command;
    EXPECT_EQ(op(99, physdev_eoi{3}), -XEN_ENOSYS);
}

TEST_F(Physdev, EoiPageIsKept) {
    const auto set = [&](u64 mfn) { return op(PHYSDEVOP_pirq_eoi_gmfn_v2, physdev_pirq_eoi_gmfn64{mfn}); };
    EXPECT_EQ(set(~0ULL), -XEN_EINVAL);
    EXPECT_EQ(set(vm.mfn(vm.l4_pfn()).number), -XEN_EINVAL);
    EXPECT_EQ(set(vm.mfn(9).number), 0);
    EXPECT_EQ(vm.domain().frames[vm.mfn(9)].type_count(), 2u);
    EXPECT_EQ(set(vm.mfn(10).number), -XEN_EBUSY);
}

TEST_F(Physdev, Compat) {
    physdev_op64 op = {};
    op.cmd = PHYSDEVOP_set_iopl;
    op.u.set_iopl.iopl = 2;
    EXPECT_EQ(vm.call(do_physdev_op_compat, vm.arg(op).address), 0);
    EXPECT_EQ(vm.vcpu().iopl, 2u);
    op.cmd = PHYSDEVOP_eoi;
    EXPECT_EQ(vm.call(do_physdev_op_compat, vm.arg(op).address), -XEN_EINVAL);
    op.cmd = 99;
    EXPECT_EQ(vm.call(do_physdev_op_compat, vm.arg(op).address), -XEN_ENOSYS);
    EXPECT_EQ(vm.call(do_physdev_op_compat, NOWHERE), -XEN_EFAULT);
}

TEST_F(SmallHypercalls, ToolstacksCallsAreRefusedByVersion) {
    const struct {
        Handler handler;
        u32 version;
    } calls[] = {{do_platform_op, 0x03000001}, {do_sysctl, 0x15}, {do_domctl, 0x15}};
    for (const auto& row : calls) {
        const u32 header[2] = {1, row.version};
        EXPECT_EQ(vm.call(row.handler, vm.arg(header).address), -XEN_EPERM);
        const u32 other[2] = {1, row.version + 1};
        EXPECT_EQ(vm.call(row.handler, vm.arg(other).address), -XEN_EACCES);
        EXPECT_EQ(vm.call(row.handler, NOWHERE), -XEN_EFAULT);
    }
}

TEST_F(SmallHypercalls, VmAssist) {
    for (const unsigned type : {VMASST_TYPE_4gb_segments, VMASST_TYPE_writable_pagetables, VMASST_TYPE_m2p_strict,
                                VMASST_TYPE_architectural_iopl, VMASST_TYPE_runstate_update_flag}) {
        EXPECT_EQ(vm.call(do_vm_assist, VMASST_CMD_enable, type), 0);
        EXPECT_EQ(vm.domain().vm_assist, 1ULL << type);
        EXPECT_EQ(vm.call(do_vm_assist, VMASST_CMD_disable, type), 0);
        EXPECT_EQ(vm.domain().vm_assist, 0u);
    }
    for (const unsigned type : {6u, 31u, 33u, 63u, 64u, 0xffffffffu})
        EXPECT_EQ(vm.call(do_vm_assist, VMASST_CMD_enable, type), -XEN_EINVAL) << type;
    EXPECT_EQ(vm.call(do_vm_assist, 2, VMASST_TYPE_4gb_segments), -XEN_ENOSYS);
}

} // namespace
} // namespace parapet::nucleus::test
