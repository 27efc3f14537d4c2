// SPDX-License-Identifier: Apache-2.0
// Hypercall numbers, as Xen's __HYPERVISOR_* without the leading underscores.
// Source: xen/include/public/xen.h.
#pragma once

namespace parapet::abi {

inline constexpr unsigned HYPERVISOR_set_trap_table = 0;
inline constexpr unsigned HYPERVISOR_mmu_update = 1;
inline constexpr unsigned HYPERVISOR_set_gdt = 2;
inline constexpr unsigned HYPERVISOR_stack_switch = 3;
inline constexpr unsigned HYPERVISOR_set_callbacks = 4;
inline constexpr unsigned HYPERVISOR_fpu_taskswitch = 5;
inline constexpr unsigned HYPERVISOR_sched_op_compat = 6;
inline constexpr unsigned HYPERVISOR_platform_op = 7;
inline constexpr unsigned HYPERVISOR_set_debugreg = 8;
inline constexpr unsigned HYPERVISOR_get_debugreg = 9;
inline constexpr unsigned HYPERVISOR_update_descriptor = 10;
inline constexpr unsigned HYPERVISOR_memory_op = 12;
inline constexpr unsigned HYPERVISOR_multicall = 13;
inline constexpr unsigned HYPERVISOR_update_va_mapping = 14;
inline constexpr unsigned HYPERVISOR_set_timer_op = 15;
inline constexpr unsigned HYPERVISOR_event_channel_op_compat = 16;
inline constexpr unsigned HYPERVISOR_xen_version = 17;
inline constexpr unsigned HYPERVISOR_console_io = 18;
inline constexpr unsigned HYPERVISOR_physdev_op_compat = 19;
inline constexpr unsigned HYPERVISOR_grant_table_op = 20;
inline constexpr unsigned HYPERVISOR_vm_assist = 21;
inline constexpr unsigned HYPERVISOR_update_va_mapping_otherdomain = 22;
inline constexpr unsigned HYPERVISOR_iret = 23;
inline constexpr unsigned HYPERVISOR_vcpu_op = 24;
inline constexpr unsigned HYPERVISOR_set_segment_base = 25;
inline constexpr unsigned HYPERVISOR_mmuext_op = 26;
inline constexpr unsigned HYPERVISOR_xsm_op = 27;
inline constexpr unsigned HYPERVISOR_nmi_op = 28;
inline constexpr unsigned HYPERVISOR_sched_op = 29;
inline constexpr unsigned HYPERVISOR_callback_op = 30;
inline constexpr unsigned HYPERVISOR_xenoprof_op = 31;
inline constexpr unsigned HYPERVISOR_event_channel_op = 32;
inline constexpr unsigned HYPERVISOR_physdev_op = 33;
inline constexpr unsigned HYPERVISOR_hvm_op = 34;
inline constexpr unsigned HYPERVISOR_sysctl = 35;
inline constexpr unsigned HYPERVISOR_domctl = 36;
inline constexpr unsigned HYPERVISOR_kexec_op = 37;
inline constexpr unsigned HYPERVISOR_tmem_op = 38;
inline constexpr unsigned HYPERVISOR_argo_op = 39;
inline constexpr unsigned HYPERVISOR_xenpmu_op = 40;
inline constexpr unsigned HYPERVISOR_dm_op = 41;
inline constexpr unsigned HYPERVISOR_hypfs_op = 42;
inline constexpr unsigned HYPERVISOR_arch_0 = 48;
inline constexpr unsigned HYPERVISOR_arch_1 = 49;
inline constexpr unsigned HYPERVISOR_arch_2 = 50;
inline constexpr unsigned HYPERVISOR_arch_3 = 51;
inline constexpr unsigned HYPERVISOR_arch_4 = 52;
inline constexpr unsigned HYPERVISOR_arch_5 = 53;
inline constexpr unsigned HYPERVISOR_arch_6 = 54;
inline constexpr unsigned HYPERVISOR_arch_7 = 55;

// The hypercall page holds one stub for each number: 128 stubs of 32 bytes.
inline constexpr unsigned HYPERCALL_STUB_BYTES = 32;
inline constexpr unsigned HYPERCALL_PAGE_STUBS = 128;

} // namespace parapet::abi
