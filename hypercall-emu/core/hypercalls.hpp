// SPDX-License-Identifier: Apache-2.0
// The hypercall handlers, and how one asks to be continued. The table that lists them is hypercall_table.cpp.
#pragma once

#include "hypercall-emu/core/domain.hpp"

#include <initializer_list>

namespace parapet::nucleus {

using Handler = Status (*)(Vcpu&, const HypercallArgs&);

struct HypercallEntry {
    unsigned number;
    const char* name;
    Handler guest64;
    Handler guest32; ///< nullptr: not yet; answered -ENOSYS
};

/// The table's row for a number, or nullptr.
[[nodiscard]] const HypercallEntry* find_hypercall(u64 number);
/// Every row, for documentation and tests.
[[nodiscard]] const HypercallEntry* hypercall_table(unsigned& rows);

/// Run the hypercall in the vCPU's registers and store its result (or rewind to continue it).
void dispatch_hypercall(Vcpu& vcpu);

/// Ask that this hypercall be issued again with `args`, those that it has, once pending events were looked at: the
/// guest does not expect the registers of others to change. The handler returns the value at once; partial progress
/// must be in `args` and in guest memory.
[[nodiscard]] inline Status continue_hypercall(Vcpu& vcpu, std::initializer_list<u64> args) {
    vcpu.preempted = true;
    vcpu.continued_args = 0;
    for (const u64 arg : args) {
        vcpu.continuation.a[vcpu.continued_args++] = arg;
    }
    return 0;
}
/// Asked between the units of long work: should it stop for now? True when an event is pending and not masked, and
/// every so often: interrupts are off in the core, so only the way through ring 3 lets one in.
[[nodiscard]] bool preemption_due(Vcpu& vcpu);

// One per row; 64-bit guests. Argument order and results: Xen public headers.
Status do_set_trap_table(Vcpu&, const HypercallArgs&);
Status do_mmu_update(Vcpu&, const HypercallArgs&);
Status do_set_gdt(Vcpu&, const HypercallArgs&);
Status do_stack_switch(Vcpu&, const HypercallArgs&);
Status do_set_callbacks(Vcpu&, const HypercallArgs&);
Status do_fpu_taskswitch(Vcpu&, const HypercallArgs&);
Status do_sched_op_compat(Vcpu&, const HypercallArgs&);
Status do_set_debugreg(Vcpu&, const HypercallArgs&);
Status do_get_debugreg(Vcpu&, const HypercallArgs&);
Status do_update_descriptor(Vcpu&, const HypercallArgs&);
Status do_memory_op(Vcpu&, const HypercallArgs&);
Status do_multicall(Vcpu&, const HypercallArgs&);
Status do_update_va_mapping(Vcpu&, const HypercallArgs&);
Status do_set_timer_op(Vcpu&, const HypercallArgs&);
Status do_event_channel_op_compat(Vcpu&, const HypercallArgs&);
Status do_xen_version(Vcpu&, const HypercallArgs&);
Status do_console_io(Vcpu&, const HypercallArgs&);
Status do_physdev_op_compat(Vcpu&, const HypercallArgs&);
Status do_grant_table_op(Vcpu&, const HypercallArgs&);
Status do_vm_assist(Vcpu&, const HypercallArgs&);
Status do_update_va_mapping_otherdomain(Vcpu&, const HypercallArgs&);
Status do_iret(Vcpu&, const HypercallArgs&);
Status do_vcpu_op(Vcpu&, const HypercallArgs&);
Status do_set_segment_base(Vcpu&, const HypercallArgs&);
Status do_mmuext_op(Vcpu&, const HypercallArgs&);
Status do_nmi_op(Vcpu&, const HypercallArgs&);
Status do_sched_op(Vcpu&, const HypercallArgs&);
Status do_callback_op(Vcpu&, const HypercallArgs&);
Status do_event_channel_op(Vcpu&, const HypercallArgs&);
Status do_physdev_op(Vcpu&, const HypercallArgs&);
Status do_platform_op(Vcpu&, const HypercallArgs&);
Status do_sysctl(Vcpu&, const HypercallArgs&);
Status do_domctl(Vcpu&, const HypercallArgs&);
Status do_privileged(Vcpu&, const HypercallArgs&); ///< -EPERM: for the initial domain only

} // namespace parapet::nucleus
