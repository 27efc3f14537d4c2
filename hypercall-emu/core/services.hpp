// SPDX-License-Identifier: Apache-2.0
// What the parts of the core offer one another, by part.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

// ---- traps.cpp: delivery into the guest ----

/// Enter the guest's handler for `vector` (0-31) with the vCPU's registers as the interrupted frame.
void deliver_exception(Vcpu& vcpu, unsigned vector, u64 error_code);
/// As deliver_exception for #PF; `cr2` is shown in vcpu_info.
void deliver_page_fault(Vcpu& vcpu, u64 cr2, u64 error_code);
/// As a software interrupt (`int n`): no error code. Precondition: the handler is registered.
void deliver_software_interrupt(Vcpu& vcpu, unsigned vector);
/// Enter the guest's handler of a system call by SYSCALL, by SYSCALL of compatibility code, or by SYSENTER, from either
/// mode. The registers are as the instruction leaves them: rip behind it, and also in rcx, the flags in r11. SYSENTER
/// leaves neither rip nor rsp; the frame has zeroes for them. Without a handler: #UD at the instruction, #GP for
/// SYSENTER.
void deliver_syscall(Vcpu& vcpu);
void deliver_syscall32(Vcpu& vcpu);
void deliver_sysenter(Vcpu& vcpu);
/// Enter the guest's NMI handler and its event callback if there is cause. Called last before every return.
void deliver_pending_events(Vcpu& vcpu);
/// Change between guest kernel and user mode: root, GS base, Vcpu::kernel_mode.
void set_kernel_mode(Vcpu& vcpu, bool kernel);
/// The entry stubs call this once per entry; Regs::vector says why.
void handle_entry(Vcpu& vcpu);

// ---- trap_table.cpp ----

/// The guest's handler of a vector, from now on.
void set_trap(Vcpu& vcpu, u8 vector, const TrapHandler& handler);
/// Let the entry stubs deliver page faults by themselves, or the core see all of them.
void choose_page_fault_path(Vcpu& vcpu);

// ---- emulate.cpp / page_table_trap.cpp ----

/// A #GP or #UD of the guest kernel: emulate a privileged instruction at rip. False: the fault is the guest's.
[[nodiscard]] bool emulate_privileged(Vcpu& vcpu);
/// #UD of the guest (kernel or user): CPUID by the forced-emulation prefix. False: the fault is the guest's.
[[nodiscard]] bool emulate_forced_cpuid(Vcpu& vcpu);
/// `int n` of the guest that arrived as #GP or #UD: deliver it as the processor would. False: it is none.
[[nodiscard]] bool emulate_software_interrupt(Vcpu& vcpu);
/// #UD of compatibility code in user mode: a SYSCALL that the substrate does not run (compat_syscall.cpp). False: it is
/// none, or the guest has no callback for it.
[[nodiscard]] bool emulate_compat_syscall(Vcpu& vcpu);
/// The same for a #GP, and SYSENTER.
[[nodiscard]] bool emulate_compat_sysenter(Vcpu& vcpu);
/// A write fault of the guest kernel on one of its page tables: emulate the store. False: the fault is the guest's.
[[nodiscard]] bool emulate_page_table_write(Vcpu& vcpu, GuestVa va);
/// Set debug register 0-3, 6 or 7 if the value is the guest's to have. 0, -XEN_EINVAL or -XEN_EPERM.
[[nodiscard]] Status set_debug_register(Vcpu& vcpu, unsigned number, u64 value);
/// The policy's answer for a CPUID leaf.
void guest_cpuid(const Domain& domain, u32 leaf, u32 subleaf, u32 (&out)[4]);

// ---- events.cpp ----

/// As in Xen, ports come to exist by so many; those beyond are -EINVAL even where a closed one would do.
inline constexpr u32 PORTS_GRAIN = 64;
[[nodiscard]] inline bool port_exists(const Domain& domain, u32 port) {
    return port < domain.ports_end;
}

void init_events(Domain& domain);
/// Open a closed port. `other`: see Channel.
void open_channel(Domain& domain, Port port, ChannelState state, u32 vcpu, u32 other);
/// Set `port` pending for the guest, in the ABI that it uses, and wake its vCPU.
void set_port_pending(Domain& domain, Port port);
void raise_virq(Vcpu& vcpu, unsigned virq);
/// Take the bits that the vmm set in the mailbox and turn them into pending ports.
void take_mailbox(Domain& domain);
[[nodiscard]] bool event_deliverable(const Vcpu& vcpu);
/// Is there anything that deliver_pending_events() would do? Asked to end a block.
[[nodiscard]] inline bool delivery_due(const Vcpu& vcpu) {
    return event_deliverable(vcpu) || (__atomic_load_n(&vcpu.nmi_pending, __ATOMIC_SEQ_CST) && vcpu.nmi_masked == 0);
}
/// Unmask `port` and make it noticed if it is pending.
void unmask_port(Domain& domain, Port port);
[[nodiscard]] bool port_is_pending(const Domain& domain, Port port);
void clear_port_pending(Domain& domain, Port port);
/// Is `virq` one per domain (rather than one per vCPU)?
[[nodiscard]] bool virq_is_global(unsigned virq);
/// End a block or poll of `vcpu`, or have it look at its events.
void kick(Vcpu& vcpu);

// ---- time.cpp ----

void init_time(Domain& domain);
void init_vcpu_time(Vcpu& vcpu);
[[nodiscard]] u64 system_time_ns(Domain& domain);
/// See to it that the hardware timer fires at the earliest deadline of this vCPU (may queue an ExitWork MSR write).
void arm_timer(Vcpu& vcpu);
/// The timer interrupt came: raise VIRQ_TIMER for what has expired, and re-arm.
void timer_expired(Vcpu& vcpu);
void update_wall_clock(Domain& domain);
/// Account the time since the last change and enter `state` (RUNSTATE_*).
void set_runstate(Vcpu& vcpu, int state);
/// Write the time record into vcpu_info and the registered area.
void refresh_time_info(Vcpu& vcpu);

// ---- sched.cpp ----

/// An interrupt came while blocked: run on, or block again.
void handle_wake(Vcpu& vcpu);
/// End the domain for `reason` (SHUTDOWN_*): tell the vmm, never run the guest again.
void shut_down(Vcpu& vcpu, u32 reason);

// ---- vcpu_start.cpp ----

/// First entry (vector::START) of a vCPU that VCPUOP_initialise prepared: load its registers and segment bases.
void start_vcpu(Vcpu& vcpu);

// ---- crash.cpp ----

/// The guest cannot go on: report (registers, walk, last hypercalls) and stop the domain.
void crash_guest(Vcpu& vcpu, const char* reason);
/// As crash_guest, with an address whose page walk matters.
void crash_guest_at(Vcpu& vcpu, const char* reason, GuestVa va);
/// An invariant of the nucleus is broken: same report, marked as our bug.
void nucleus_bug(Vcpu& vcpu, const char* reason);

// ---- exit work ----

/// Write an MSR before the guest runs. FS, GS and kernel GS base, TSC deadline, TSC_AUX and end of interrupt are all
/// that is ever queued: one more is a bug of ours.
inline void queue_msr(Vcpu& vcpu, u32 index, u64 value) {
    ExitWork& work = vcpu.work;
    for (u32 i = 0; i < work.nr_msrs; i++) {
        if (work.msrs[i].index == index) {
            work.msrs[i].value = value;
            return;
        }
    }
    if (work.nr_msrs == ExitWork::MAX_MSRS) {
        nucleus_bug(vcpu, "more MSRs are to be written than there is room for");
        return;
    }
    work.msrs[work.nr_msrs++] = {index, value};
    work.flags |= ExitWork::WRITE_MSR;
}

} // namespace parapet::nucleus
