// SPDX-License-Identifier: Apache-2.0
// Home ring0: from the entry stubs to the core and back. The core's wishes (ExitWork) are carried out here.
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/start.hpp"
#include "hypercall-emu/ring0/asm_offsets.hpp"
#include "hypercall-emu/ring0/exit_work.hpp"
#include "hypercall-emu/ring0/interrupt.hpp"
#include "hypercall-emu/ring0/privileged.hpp"

namespace parapet::nucleus {

/// A fault of [first, end) goes on at `target` (the end of ring0/entry.S).
struct FaultFixup {
    u64 first, end, target;
};

extern "C" {
[[gnu::visibility("hidden")]] extern const FaultFixup ring0_fixups[];
[[gnu::visibility("hidden")]] extern const FaultFixup ring0_fixups_end[];
}

namespace {

// The image's own objects: the core itself has no globals.
Domain the_domain;
Machine the_machine;

/// Everything but BLOCK, which is returned to the caller.
void do_exit_work(Vcpu& vcpu) {
    ExitWork& work = vcpu.work;
    const u32 flags = work.flags;
    const u64 root = vcpu.current_root();
    if (root != read_cr3() || (flags & ExitWork::FLUSH_TLB) != 0) {
        write_cr3(root);
    } else if ((flags & ExitWork::INVLPG) != 0) {
        invalidate_page(work.invlpg_va);
    }
    if (flags == 0) {
        return;
    }
    if ((flags & ExitWork::SWAPGS) != 0) {
        swap_gs();
    }
    if ((flags & ExitWork::WRITE_MSR) != 0) {
        for (u32 i = 0; i < work.nr_msrs; i++) {
            const auto& [index, value] = work.msrs[i];
            (index == msr::TSC_DEADLINE ? write_msr_with_window : write_msr)(index, value);
        }
        work.nr_msrs = 0;
    }
    if ((flags & ExitWork::DOORBELL) != 0) {
        out_byte_with_window(doorbell::DOORBELL_PORT, 0);
    }
    if ((flags & RARE_EXIT_WORK) != 0) {
        do_rare_exit_work(vcpu, flags);
    }
    work.flags = 0;
}

/// Has an interrupt come in a window of the exit work?
bool interrupted(const Vcpu& vcpu) {
    return __atomic_load_n(&vcpu.irq_bits, __ATOMIC_RELAXED) != 0;
}

void run_core(Vcpu& vcpu) {
    for (;;) {
        handle_entry(vcpu);
        const bool block = (vcpu.work.flags & ExitWork::BLOCK) != 0;
        do_exit_work(vcpu);
        if (block) {
            vcpu.domain->machine->mailbox->counters.blocks++;
            if (!interrupted(vcpu)) {
                wait_for_interrupt();
            }
        } else if (!interrupted(vcpu)) {
            return;
        }
        vcpu.regs->vector = block ? vector::WAKE : vector::RETURNED;
    }
}

Regs* entry_regs(Vcpu& vcpu) {
    return reinterpret_cast<Regs*>(reinterpret_cast<u8*>(&vcpu) + doorbell::AREA_ENTRY_END) - 1;
}

} // namespace

extern "C" void ring0_enter(Vcpu& vcpu) {
    const u64 why = vcpu.regs->vector;
    if (why == 14) {
        if (vcpu.domain->boot->syscall_arrival == doorbell::SyscallArrival::page_fault && vcpu.cr2 == vcpu.regs->rip &&
            vcpu.cr2 == vcpu.syscall_stub) {
            undo_syscall(*vcpu.regs); // SYSCALL arrived at LSTAR still at ring 3, or the guest jumped there
            vcpu.regs->vector = vector::SYSCALL;
        }
    } else if (why >= 32 && why < 256) {
        if (note_interrupt(vcpu, why)) {
            write_msr_with_window(msr::X2APIC_EOI, 0); // what may not be ended by the word has others behind it
        }
    } else if (why == 1) {
        vcpu.dr[6] = read_dr6();
    }
    run_core(vcpu);
}

/// A hypercall. True: the guest goes on behind its SYSCALL, and nothing else is to be done first.
extern "C" int ring0_hypercall(Vcpu& vcpu) {
    // What needs no second look at the guest, and no other way out than the quick one.
    constexpr u32 PASSING_WORK =
        ExitWork::FLUSH_TLB | ExitWork::INVLPG | ExitWork::WRITE_MSR | ExitWork::SET_TS | ExitWork::LOAD_GS_SELECTOR;
    dispatch_hypercall(vcpu);
    const bool plain = (vcpu.work.flags & ~PASSING_WORK) == 0 && !event_deliverable(vcpu) &&
                       vcpu.regs->vector == vector::SYSCALL && is_canonical(vcpu.regs->rip);
    if (plain) {
        if (vcpu.work.flags == 0) {
            return 1;
        }
        do_exit_work(vcpu);
        if (!interrupted(vcpu)) {
            return 1;
        }
    }
    vcpu.regs->vector = vector::RETURNED;
    run_core(vcpu);
    return 0;
}

extern "C" void ring0_start(Vcpu& vcpu) {
    const auto& boot = *reinterpret_cast<const doorbell::BootInfo*>(doorbell::BOOT_INFO_VA);
    vcpu.regs = entry_regs(vcpu);
    vcpu.syscall_stub = syscall_stub_va(vcpu);
    connect_machine(the_machine, the_domain, vcpu, boot);
    start_local_apic();
    (void)start_domain(the_domain, vcpu, boot);
    run_core(vcpu);
}

/// An interrupt or exception at ring 0.
extern "C" void ring0_nested(NestedFrame& frame, Vcpu& vcpu) {
    if (frame.vector >= 32) {
        take_interrupt(vcpu, frame.vector);
        frame.rip = end_wait(frame.rip);
        return;
    }
    for (const FaultFixup* fixup = ring0_fixups; fixup != ring0_fixups_end; fixup++) {
        if (frame.rip >= fixup->first && frame.rip < fixup->end) {
            frame.rip = fixup->target;
            return;
        }
    }
    if (vcpu.regs != nullptr && vcpu.domain != nullptr) {
        vcpu.cr2 = read_cr2();
        Regs& regs = *vcpu.regs;
        regs.vector = frame.vector;
        regs.error = frame.error;
        regs.rip = frame.rip;
        regs.cs = frame.cs;
        regs.rsp = frame.rsp;
        nucleus_bug(vcpu, "exception in the nucleus");
    }
    for (;;) {
        wait_for_interrupt();
    }
}

} // namespace parapet::nucleus
