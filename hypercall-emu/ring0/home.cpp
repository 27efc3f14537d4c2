// SPDX-License-Identifier: Apache-2.0
// Home ring0: from the entry stubs to the core and back. The core's wishes (ExitWork) are carried out here.
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/start.hpp"
#include "hypercall-emu/ring0/asm_offsets.hpp"
#include "hypercall-emu/ring0/privileged.hpp"

extern "C" char ring0_load_gs_fault[];
extern "C" char ring0_load_gs_fixup[];

namespace parapet::nucleus {

namespace {

struct NestedFrame {
    u64 vector, error, rip, cs, rflags, rsp, ss;
};

// The image's own objects: the core itself has no globals.
Domain the_domain;
Machine the_machine;

void note_interrupt(Vcpu& vcpu, u64 vector) {
    if (vector == doorbell::TIMER_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_TIMER;
    } else if (vector == doorbell::MAILBOX_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_MAILBOX;
    } else if (vector == doorbell::WAKE_VECTOR) {
        vcpu.irq_bits |= Vcpu::IRQ_WAKE;
    }
    if (vector != doorbell::SPURIOUS_VECTOR) {
        write_msr(msr::X2APIC_EOI, 0);
    }
}

void set_task_switched(bool set) {
    constexpr u64 TS = 8;
    const u64 cr0 = read_cr0();
    write_cr0(set ? cr0 | TS : cr0 & ~TS);
}

/// Limit of the LDT descriptor in the nucleus's part of this vCPU's GDT; the base never changes.
void load_guest_ldt(Vcpu& vcpu, u32 entries) {
    if (entries == 0) {
        load_ldt(0);
        return;
    }
    u8* area = reinterpret_cast<u8*>(&vcpu);
    u64* gdt = reinterpret_cast<u64*>(area + doorbell::AREA_GDT);
    u64* slot = gdt + (doorbell::NUCLEUS_LDT & 0xfff) / sizeof(u64);
    const u64 base = doorbell::DESCRIPTOR_VA + vcpu.id * doorbell::DESCRIPTOR_WINDOW_SIZE + doorbell::GDT_WINDOW_SIZE;
    const u64 limit = entries * 8ULL - 1;
    slot[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x82ULL << 40 | (base >> 24 & 0xff) << 56;
    slot[1] = base >> 32;
    load_ldt(doorbell::NUCLEUS_LDT);
}

void rare_exit_work(Vcpu& vcpu, u32 flags) {
    if ((flags & ExitWork::DEBUG_REGS) != 0) {
        write_debug_registers(vcpu.dr);
    }
    if ((flags & ExitWork::SET_TS) != 0) {
        set_task_switched(vcpu.ts != 0);
    }
    if ((flags & ExitWork::LOAD_LDT) != 0) {
        load_guest_ldt(vcpu, vcpu.work.ldt_entries);
    }
    if ((flags & ExitWork::LOAD_GS_SELECTOR) != 0) {
        ring0_load_gs(vcpu.work.gs_selector);
    }
    if ((flags & ExitWork::STOP) != 0) {
        for (;;) {
            wait_for_interrupt(); // the vmm does not let us run again
        }
    }
}

/// Everything but BLOCK, which is returned to the caller.
void do_exit_work(Vcpu& vcpu) {
    ExitWork& work = vcpu.work;
    const u32 flags = work.flags;
    if (vcpu.cr3 != vcpu.loaded_cr3 || (flags & ExitWork::FLUSH_TLB) != 0) {
        vcpu.loaded_cr3 = vcpu.cr3;
        write_cr3(vcpu.cr3);
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
            write_msr(work.msrs[i].index, work.msrs[i].value);
        }
        work.nr_msrs = 0;
    }
    if ((flags & ExitWork::DOORBELL) != 0) {
        out_byte(doorbell::DOORBELL_PORT, 0);
    }
    constexpr u32 RARE =
        ExitWork::DEBUG_REGS | ExitWork::SET_TS | ExitWork::LOAD_LDT | ExitWork::LOAD_GS_SELECTOR | ExitWork::STOP;
    if ((flags & RARE) != 0) {
        rare_exit_work(vcpu, flags);
    }
    work.flags = 0;
}

void run_core(Vcpu& vcpu) {
    for (;;) {
        handle_entry(vcpu);
        const bool block = (vcpu.work.flags & ExitWork::BLOCK) != 0;
        do_exit_work(vcpu);
        if (!block) {
            return;
        }
        vcpu.domain->machine->mailbox->counters.blocks++;
        wait_for_interrupt();
        vcpu.regs->vector = vector::WAKE;
    }
}

Regs* entry_regs(Vcpu& vcpu) {
    return reinterpret_cast<Regs*>(reinterpret_cast<u8*>(&vcpu) + doorbell::AREA_ENTRY_END) - 1;
}

} // namespace

extern "C" void ring0_enter(Vcpu& vcpu) {
    const u64 why = vcpu.regs->vector;
    if (why == 14) {
        vcpu.cr2 = read_cr2();
        if (vcpu.domain->boot->syscall_arrival == doorbell::SyscallArrival::page_fault && vcpu.cr2 == vcpu.regs->rip &&
            vcpu.cr2 == vcpu.syscall_stub) {
            // SYSCALL arrived at LSTAR still at ring 3: undo what it did to rip and rflags.
            vcpu.regs->rip = vcpu.regs->rcx;
            vcpu.regs->rflags = vcpu.regs->r11;
            vcpu.regs->vector = vector::SYSCALL;
        }
    } else if (why >= 32 && why < 256) {
        note_interrupt(vcpu, why);
    } else if (why == 1) {
        vcpu.dr[6] = read_dr6();
    }
    run_core(vcpu);
}

extern "C" void ring0_start(Vcpu& vcpu) {
    const auto& boot = *reinterpret_cast<const doorbell::BootInfo*>(doorbell::BOOT_INFO_VA);
    vcpu.regs = entry_regs(vcpu);
    vcpu.syscall_stub = reinterpret_cast<u64>(&vcpu) + doorbell::AREA_SYSCALL_STUB;
    vcpu.loaded_cr3 = boot.stub_root_mfn << PAGE_SHIFT;
    the_machine.directmap = reinterpret_cast<u8*>(doorbell::DIRECTMAP_VA);
    the_machine.mailbox = reinterpret_cast<doorbell::Mailbox*>(doorbell::MAILBOX_VA);
    the_machine.vcpu = &vcpu;
    the_domain.machine = &the_machine;
    the_domain.frames = FrameTable{reinterpret_cast<Frame*>(doorbell::FRAME_TABLE_VA), boot.max_mfn};
    the_domain.m2p = reinterpret_cast<u64*>(doorbell::M2P_WRITABLE_VA);
    for (unsigned i = 0; i < 16; i++) {
        the_domain.hole_template[i] = the_machine.table(Mfn{boot.stub_root_mfn})[doorbell::HOLE_FIRST_SLOT + i].raw;
    }
    write_msr(msr::X2APIC_SPURIOUS, 0x100 | doorbell::SPURIOUS_VECTOR);
    write_msr(msr::X2APIC_LVT_TIMER, msr::LVT_TSC_DEADLINE | doorbell::TIMER_VECTOR);
    (void)start_domain(the_domain, vcpu, boot);
    run_core(vcpu);
}

/// An interrupt or exception at ring 0.
extern "C" void ring0_nested(NestedFrame& frame, Vcpu& vcpu) {
    if (frame.vector >= 32) {
        note_interrupt(vcpu, frame.vector);
        return;
    }
    if (frame.rip == reinterpret_cast<u64>(ring0_load_gs_fault)) {
        frame.rip = reinterpret_cast<u64>(ring0_load_gs_fixup);
        return;
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
