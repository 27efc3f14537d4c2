// SPDX-License-Identifier: Apache-2.0
// Control words between the core at ring 3 and its ring-0 stubs, one set per vCPU (AREA_CONTROL).
#pragma once

#include "hypercall-emu/core/vcpu.hpp"
#include "hypercall-emu/ring0/asm_offsets.hpp"

namespace parapet::nucleus {

/// What iretq takes.
struct ReturnFrame {
    u64 rip, cs, rflags, rsp, ss;
};

struct Control {
    u8 leaving; ///< LEAVING_*: what the core's int3 asks for; 0 while a guest runs
    u8 busy;    ///< the core runs: an exception now is its own fault
    u8 zero;    ///< the core divides by it to leave with nothing else to be done
    u8 pad[5];
    u64 core_cr3;
    ReturnFrame entry_frame; ///< to the core's entry
    ReturnFrame wake_frame;  ///< to the core after it blocked
    ReturnFrame gate_frame;  ///< to the gate's second half, on the guest kernel's stack
    ReturnFrame call_frame;  ///< to the core for a SYSCALL that came by the gate
    ReturnFrame fault_frame; ///< to the core for a page fault
    u64 call;                ///< LEAVING_FOR_CALL: CALL_*
    u64 call_argument;
    u64 call_result;

    static constexpr u64 CALL_REQUEST = 1, CALL_READ_MSR = 2, CALL_READ_DR6 = 3, CALL_WAKE = 4, CALL_READ_TSC = 5;
};
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, leaving) == CONTROL_LEAVING);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, busy) == CONTROL_BUSY);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, zero) == CONTROL_ZERO);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, core_cr3) == CONTROL_CORE_CR3);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, entry_frame) == CONTROL_ENTRY_FRAME);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, wake_frame) == CONTROL_WAKE_FRAME);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, gate_frame) == CONTROL_GATE_FRAME);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, call_frame) == CONTROL_CALL_FRAME);
static_assert(AREA_CONTROL_OFFSET + offsetof(Control, fault_frame) == CONTROL_FAULT_FRAME);
static_assert(sizeof(ReturnFrame) == 40);
static_assert(AREA_CONTROL_OFFSET + sizeof(Control) <= AREA_REGS_OFFSET);

/// Data of the vCPU's system-call gate. Every program can read it, so it says nothing but which mode runs; ring 3 sees
/// it read-only, one page behind the gate's code.
struct Gate {
    u64 target; ///< where SYSCALL goes on: gate_hypercall in kernel mode; gate_user_site or gate_core in user mode
};
static_assert(offsetof(Gate, target) == GATE_TARGET);

inline Gate& gate_of(Vcpu& vcpu) {
    return *reinterpret_cast<Gate*>(reinterpret_cast<u8*>(&vcpu) + AREA_GATE_OFFSET);
}

inline Control& control_of(Vcpu& vcpu) {
    return *reinterpret_cast<Control*>(reinterpret_cast<u8*>(&vcpu) + AREA_CONTROL_OFFSET);
}

/// Ask ring 0 for something at once (ring3/entry.S: int3 with LEAVING_FOR_CALL).
extern "C" void core_call(Control& control);

inline u64 call_ring0(Vcpu& vcpu, u64 call, u64 argument) {
    Control& control = control_of(vcpu);
    control.call = call;
    control.call_argument = argument;
    core_call(control);
    return control.call_result;
}

} // namespace parapet::nucleus
