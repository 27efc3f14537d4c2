// SPDX-License-Identifier: Apache-2.0
// What an interrupt leaves to be done, in either VM home: to be noted, to be ended, and to end a wait.
#pragma once

#include "hypercall-emu/core/vcpu.hpp"
#include "pv-abi/doorbell.hpp"
#include "pv-abi/nucleus_image.hpp"

namespace parapet::nucleus {

/// An interrupt or exception at ring 0, as the entry code passes it on (shared_entry.inc: nested_entry).
struct NestedFrame {
    u64 vector, error, rip, cs, rflags, rsp, ss;
};

/// End the interrupt by the vCPU's PV EOI word (MSR_KVM_PV_EOI_EN: Linux, Documentation/virt/kvm/x86/msr.rst). KVM sets
/// the word's bit with an interrupt that may be ended by clearing it, and looks at it, and may take it back, at any
/// exit: so test and clear are one instruction.
inline bool end_by_word(Vcpu& vcpu) {
    u32& word = *reinterpret_cast<u32*>(reinterpret_cast<u8*>(&vcpu) + doorbell::AREA_PV_EOI);
    bool was_set;
    asm volatile("btrl $0, %1" : "=@ccc"(was_set), "+m"(word));
    return was_set;
}

/// Note an interrupt in Vcpu::irq_bits, and end it without an exit where KVM allows that. True: it is still to be ended
/// at the local APIC.
[[nodiscard]] inline bool note_interrupt(Vcpu& vcpu, u64 vector) {
    if (vector == doorbell::TIMER_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_TIMER;
    } else if (vector == doorbell::MAILBOX_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_MAILBOX;
    } else if (vector == doorbell::WAKE_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_WAKE;
    }
    return vector != doorbell::SPURIOUS_VECTOR && !end_by_word(vcpu);
}

/// Where to go on after an interrupt at ring 0, which came at `rip`: in wait_for_interrupt(), or in a window.
/// STI holds it back until HLT has begun; an emulated processor may fail to (docs/substrates.md). At the HLT, then, the
/// wait is over before it began: nothing else would end it.
[[nodiscard]] inline u64 end_wait(u64 rip) {
    constexpr u8 HLT = 0xf4;
    return *reinterpret_cast<const u8*>(rip) == HLT ? rip + 1 : rip;
}

} // namespace parapet::nucleus
