// SPDX-License-Identifier: Apache-2.0
// Home ring3: the core at ring 3 (ring3_enter, ring3_wake, ring3_core_fault), and what serves it at ring 0
// (ring3_start, ring3_exit_work, ring3_call, ring3_nested). The protocol between the two is drawn in entry.S.
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/start.hpp"
#include "hypercall-emu/ring0/exit_work.hpp"
#include "hypercall-emu/ring0/interrupt.hpp"
#include "hypercall-emu/ring0/privileged.hpp"
#include "hypercall-emu/ring3/control.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/boot_features.hpp"
#include "pv-abi/vm_assist.hpp"

extern "C" {
[[gnu::visibility("hidden")]] extern char ring0_load_gs_fault[];
[[gnu::visibility("hidden")]] extern char ring0_load_gs_fixup[];
[[gnu::visibility("hidden")]] extern char core_entry[];
[[gnu::visibility("hidden")]] extern char core_wake[];
[[gnu::visibility("hidden")]] extern char gate_text[];
[[gnu::visibility("hidden")]] extern char gate_user_site[];
[[gnu::visibility("hidden")]] extern char gate_hypercall[];
[[gnu::visibility("hidden")]] extern char gate_core[];
[[gnu::visibility("hidden")]] extern char gate_kernel_core[];
[[gnu::visibility("hidden")]] extern char core_entry_call[];
[[gnu::visibility("hidden")]] extern char core_entry_fault[];
[[gnu::visibility("hidden")]] extern char gate_iret_site_end[];
[[gnu::visibility("hidden")]] extern char gate_kernel_entry[];
[[gnu::visibility("hidden")]] extern char gate_stores[];
[[gnu::visibility("hidden")]] extern char gate_stores_end[];
[[gnu::visibility("hidden")]] extern char gate_stores_fault[];
}

namespace parapet::nucleus {

namespace {

// The image's own objects: the core itself has no globals.
Domain the_domain;
Machine the_machine;

const doorbell::BootInfo& boot_info() {
    return *reinterpret_cast<const doorbell::BootInfo*>(doorbell::BOOT_INFO_VA);
}

ReturnFrame to_core(const char* target, u64 area) {
    return {reinterpret_cast<u64>(target), abi::x64::FLAT_KERNEL_CS, rflags::FIXED, area + AREA_CORE_STACK_TOP,
            abi::x64::FLAT_KERNEL_SS};
}

u64 gate_va(const Vcpu& vcpu) {
    return doorbell::GATE_VA + vcpu.id * doorbell::GATE_SIZE;
}

/// Where in the gate an address is, from 0; beyond a page: not in it.
u64 gate_offset(const Vcpu& vcpu, u64 rip) {
    return rip - gate_va(vcpu);
}

u64 offset_in_gate(const char* label) {
    return static_cast<u64>(label - gate_text);
}

/// In which mode the guest ran, as the stubs know it: they change the gate's data with the root.
bool gate_in_kernel_mode(Vcpu& vcpu) {
    const u64 offset = gate_of(vcpu).target - gate_va(vcpu);
    return offset == offset_in_gate(gate_hypercall) || offset == offset_in_gate(gate_kernel_core);
}

/// The guest was in the gate. Its int3 for the core is a SYSCALL. In user mode anything else is undone up to the
/// SYSCALL instruction, so that no other vCPU goes on in this one's gate.
void leave_gate(Vcpu& vcpu) {
    Regs& regs = *vcpu.regs;
    const u64 offset = gate_offset(vcpu, regs.rip);
    if (regs.vector == 3 && offset == offset_in_gate(gate_iret_site_end) && vcpu.kernel_mode) {
        // The way back to user mode, with an event pending: complete the return, and let the event interrupt it.
        set_kernel_mode(vcpu, false);
        regs.rip = regs.rcx;
        regs.rflags |= rflags::IF;
        vcpu.info64().evtchn_upcall_mask = 0;
        if (vcpu.domain->assists(abi::VMASST_TYPE_architectural_iopl)) {
            vcpu.iopl = 0; // of the frame: others do not come this way
        }
        regs.vector = vector::RETURNED;
    } else if (!vcpu.kernel_mode) {
        constexpr u64 SYSCALL_LENGTH = 2;
        undo_syscall(regs);
        regs.rip = canonical(regs.rip - SYSCALL_LENGTH);
        if (regs.vector == 3) {
            regs.vector = vector::RETURNED;
        }
    } else if (regs.vector < 32) {
        crash_guest(vcpu, "the guest kernel's stack cannot take or give the frame of a system call");
    }
}

/// What the gate may do by itself until the core runs again.
void set_gate(Vcpu& vcpu) {
    const bool iopl_in_frames = vcpu.domain->assists(abi::VMASST_TYPE_architectural_iopl);
    const bool fast = vcpu.syscall_entry != 0 && vcpu.syscall_masks_events != 0 && vcpu.kernel_sp != 0 &&
                      vcpu.info64().evtchn_upcall_mask == 0 && !iopl_in_frames;
    // The core sees the iret that ends an NMI, and the one to user mode that TS is to stop (raise_held_no_device).
    const bool sees_iret =
        vcpu.nmi_masked != 0 || (vcpu.ts != 0 && (boot_info().domain.features & doorbell::BOOT_TS_IGNORED) != 0);
    const char* kernel_target = sees_iret ? gate_kernel_core : gate_hypercall;
    const char* target = vcpu.kernel_mode ? kernel_target : fast ? gate_user_site : gate_core;
    gate_of(vcpu).target = gate_va(vcpu) + offset_in_gate(target);
    control_of(vcpu).gate_frame.rsp = vcpu.kernel_sp;
}

void run_core(Vcpu& vcpu) {
    // A root is loaded on every way out, which flushes all that the core may ask to flush.
    constexpr u32 DONE_BY_ROOT_LOAD = ExitWork::FLUSH_TLB | ExitWork::INVLPG;
    // In the gate in kernel mode: its next int3 is a few instructions away, and looks for events.
    vcpu.hold_events = vcpu.kernel_mode && gate_offset(vcpu, vcpu.regs->rip) < PAGE_SIZE;
    handle_entry(vcpu);
    vcpu.work.flags &= ~DONE_BY_ROOT_LOAD;
    vcpu.cr3 = vcpu.current_root();
    set_gate(vcpu);
}

} // namespace

// ---- at ring 3 ----

/// A SYSCALL by the gate.
extern "C" void ring3_syscall(Vcpu& vcpu) {
    undo_syscall(*vcpu.regs);
    vcpu.kernel_mode = gate_in_kernel_mode(vcpu) ? 1 : 0;
    run_core(vcpu);
}

extern "C" void ring3_enter(Vcpu& vcpu) {
    vcpu.kernel_mode = gate_in_kernel_mode(vcpu) ? 1 : 0;
    if (gate_offset(vcpu, vcpu.regs->rip) < PAGE_SIZE) {
        leave_gate(vcpu);
    }
    const u64 why = vcpu.regs->vector;
    if (why >= 32 && why < 256) {
        if (note_interrupt(vcpu, why)) {
            queue_msr(vcpu, msr::X2APIC_EOI, 0);
        }
    } else if (why == 1) {
        vcpu.dr[6] = call_ring0(vcpu, Control::CALL_READ_DR6, 0);
    }
    run_core(vcpu);
}

/// After ring3_start, or an interrupt that ended a block.
extern "C" void ring3_wake(Vcpu& vcpu) {
    if (vcpu.domain == nullptr) {
        (void)start_domain(the_domain, vcpu, boot_info());
    } else {
        vcpu.regs->vector = vector::WAKE;
    }
    run_core(vcpu);
}

/// The core itself faulted: its registers are lost but for the frame.
extern "C" void ring3_core_fault(Vcpu& vcpu, const NestedFrame& frame) {
    Regs& regs = *vcpu.regs;
    regs.vector = frame.vector;
    regs.error = frame.error;
    regs.rip = frame.rip;
    regs.cs = frame.cs;
    regs.rsp = frame.rsp;
    nucleus_bug(vcpu, "exception in the nucleus");
    vcpu.work.flags |= ExitWork::STOP;
}

// ---- at ring 0 ----

extern "C" void ring3_start(Vcpu& vcpu) {
    const doorbell::BootInfo& boot = boot_info();
    const u64 area = reinterpret_cast<u64>(&vcpu);
    vcpu.regs = reinterpret_cast<Regs*>(area + AREA_REGS_OFFSET);
    vcpu.syscall_stub = syscall_stub_va(vcpu);
    connect_machine(the_machine, the_domain, vcpu, boot);
    Control& control = control_of(vcpu);
    control.core_cr3 = boot.core_root_mfn << PAGE_SHIFT;
    control.entry_frame = to_core(core_entry, area);
    control.wake_frame = to_core(core_wake, area);
    control.call_frame = to_core(core_entry_call, area);
    control.fault_frame = to_core(core_entry_fault, area);
    control.gate_frame = {gate_va(vcpu) + offset_in_gate(gate_kernel_entry), abi::x64::FLAT_KERNEL_CS, RFLAGS_ALWAYS, 0,
                          abi::x64::FLAT_KERNEL_SS};
    start_local_apic();
}

/// True: the vCPU blocked and an interrupt came.
extern "C" int ring3_exit_work(Vcpu& vcpu) {
    const u32 flags = vcpu.work.flags;
    vcpu.work.flags = 0;
    if ((flags & ExitWork::DOORBELL) != 0) {
        out_byte(doorbell::DOORBELL_PORT, 0);
    }
    if ((flags & RARE_EXIT_WORK) != 0) {
        do_rare_exit_work(vcpu, flags);
    }
    if ((flags & ExitWork::BLOCK) == 0) {
        return 0;
    }
    the_machine.mailbox->counters.blocks++;
    wait_for_interrupt();
    return 1;
}

extern "C" void ring3_call(Vcpu& vcpu) {
    Control& control = control_of(vcpu);
    switch (control.call) {
    case Control::CALL_REQUEST:
        out_byte(doorbell::REQUEST_PORT, 0);
        return;
    case Control::CALL_READ_MSR:
        control.call_result = read_msr(static_cast<u32>(control.call_argument));
        return;
    case Control::CALL_READ_DR6:
        control.call_result = read_dr6();
        return;
    case Control::CALL_READ_TSC:
        control.call_result = read_tsc_counter();
        return;
    case Control::CALL_WAKE:
        write_msr(msr::X2APIC_ICR, control.call_argument << 32 | doorbell::WAKE_VECTOR);
        return;
    default:
        return;
    }
}

/// An interrupt or exception at ring 0.
extern "C" void ring3_nested(NestedFrame& frame, Vcpu& vcpu) {
    if (frame.vector >= 32) {
        take_interrupt(vcpu, frame.vector);
        frame.rip = end_wait(frame.rip);
        return;
    }
    if (frame.rip == reinterpret_cast<u64>(ring0_load_gs_fault)) {
        frame.rip = reinterpret_cast<u64>(ring0_load_gs_fixup);
        return;
    }
    if (frame.rip >= reinterpret_cast<u64>(gate_stores) && frame.rip < reinterpret_cast<u64>(gate_stores_end)) {
        frame.rip = reinterpret_cast<u64>(gate_stores_fault);
        return;
    }
    // The core cannot be used from here; say what is known and stop.
    doorbell::RequestBlock& request = reinterpret_cast<doorbell::Mailbox*>(doorbell::MAILBOX_VA)->request;
    request.crash.regs.vector = frame.vector;
    request.crash.regs.error = frame.error;
    request.crash.regs.rip = frame.rip;
    request.crash.regs.rsp = frame.rsp;
    request.crash.cr2 = read_cr2();
    constexpr char reason[] = "exception in the nucleus's ring-0 stubs";
    copy_bytes(request.crash.reason, reason, sizeof(reason));
    request.kind = doorbell::Request::nucleus_bug;
    out_byte(doorbell::REQUEST_PORT, 0);
    for (;;) {
        wait_for_interrupt();
    }
}

} // namespace parapet::nucleus
