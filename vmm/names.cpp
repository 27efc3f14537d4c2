// SPDX-License-Identifier: Apache-2.0
#include "vmm/names.hpp"

#include <array>

namespace parapet::vmm {

const char* exception_name(std::uint64_t vector) {
    static constexpr std::array<const char*, 22> names = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
                                                          "#DF", "9",   "#TS", "#NP", "#SS", "#GP", "#PF", "15",
                                                          "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};
    if (vector < names.size()) {
        return names[vector];
    }
    return vector == 0x100 ? "hypercall or system call" : vector == 0x102 ? "refused return frame" : "interrupt";
}

const char* hypercall_name(std::uint64_t number) {
    static constexpr std::array<const char*, 42> names = {"set_trap_table",
                                                          "mmu_update",
                                                          "set_gdt",
                                                          "stack_switch",
                                                          "set_callbacks",
                                                          "fpu_taskswitch",
                                                          "sched_op_compat",
                                                          "platform_op",
                                                          "set_debugreg",
                                                          "get_debugreg",
                                                          "update_descriptor",
                                                          "",
                                                          "memory_op",
                                                          "multicall",
                                                          "update_va_mapping",
                                                          "set_timer_op",
                                                          "event_channel_op_compat",
                                                          "xen_version",
                                                          "console_io",
                                                          "physdev_op_compat",
                                                          "grant_table_op",
                                                          "vm_assist",
                                                          "update_va_mapping_otherdomain",
                                                          "iret",
                                                          "vcpu_op",
                                                          "set_segment_base",
                                                          "mmuext_op",
                                                          "xsm_op",
                                                          "nmi_op",
                                                          "sched_op",
                                                          "callback_op",
                                                          "xenoprof_op",
                                                          "event_channel_op",
                                                          "physdev_op",
                                                          "hvm_op",
                                                          "sysctl",
                                                          "domctl",
                                                          "kexec_op",
                                                          "tmem_op",
                                                          "argo_op",
                                                          "xenpmu_op",
                                                          "dm_op"};
    return number < names.size() ? names[number] : "?";
}

} // namespace parapet::vmm
