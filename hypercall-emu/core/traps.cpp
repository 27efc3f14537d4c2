// SPDX-License-Identifier: Apache-2.0
// Delivery into the guest: exceptions, events and system calls become a frame on the guest kernel's stack.
//
//   low address   rcx r11 [ds es fs gs] [error code] rip cs rflags rsp ss   high address
//
// cs has the saved event mask in bits 32-39, and a requested privilege level of 0 when the guest kernel was
// interrupted; rflags.IF is the inverse of that mask. (Xen public headers: arch-x86/xen-x86_64.h; the frame is what
// every PV kernel's entry code expects.) The fast paths in ring0/entry.S and the gate of ring3/entry.S build the same
// frame.
#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/io_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/boot_features.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/vm_assist.hpp"

namespace parapet::nucleus {

namespace {

struct Bounce {
    u64 address;
    bool mask_events;
    bool has_error;
    bool failsafe;
    u64 error;
};

/// What the guest kernel is never entered with. IOPL, VIF and VIP are never set, unless the processor is mistaken.
constexpr u64 ENTRY_CLEARS =
    rflags::AC | rflags::VM | rflags::RF | rflags::NT | rflags::TF | rflags::IOPL | rflags::VIF | rflags::VIP;

/// IOPL is the guest's only where it asked to see it there: the processor's own is always 0.
u64 frame_rflags(const Vcpu& vcpu, bool masked) {
    const u64 iopl =
        vcpu.domain->assists(abi::VMASST_TYPE_architectural_iopl) ? u64{vcpu.iopl} << rflags::IOPL_SHIFT : 0;
    return (vcpu.regs->rflags & ~(rflags::IF | rflags::IOPL)) | iopl | (masked ? 0 : rflags::IF);
}

/// Write the frame and redirect the registers to the handler. The guest is crashed where it has no stack for it.
void bounce(Vcpu& vcpu, const Bounce& to) {
    Regs& regs = *vcpu.regs;
    if (to.address == 0) {
        crash_guest(vcpu, "exception or event without a handler registered");
        return;
    }
    const bool from_kernel = vcpu.kernel_mode != 0;
    u64 sp = from_kernel ? regs.rsp : vcpu.kernel_sp;
    sp &= ~15ULL;

    const bool masked = vcpu.info64().evtchn_upcall_mask != 0;
    u64 words[13];
    unsigned count = 0;
    words[count++] = regs.rcx;
    words[count++] = regs.r11;
    if (to.failsafe) {
        u16 selectors[4];
        vcpu.domain->machine->data_selectors(selectors);
        for (const u16 selector : selectors) {
            words[count++] = selector;
        }
    }
    if (to.has_error) {
        words[count++] = to.error;
    }
    const u64 code = regs.cs & 0xffff;
    words[count++] = regs.rip;
    words[count++] = (from_kernel ? code & ~3ULL : code) | (masked ? 1ULL << 32 : 0);
    words[count++] = frame_rflags(vcpu, masked);
    words[count++] = regs.rsp;
    words[count++] = regs.ss & 0xffff;

    if (!from_kernel) {
        set_kernel_mode(vcpu, true); // the stack is in the kernel's address space
    }
    sp -= count * sizeof(u64);
    if (!copy_to_guest(vcpu, GuestVa{sp}, words, count * sizeof(u64))) {
        crash_guest_at(vcpu, "the guest kernel's stack cannot take an exception frame", GuestVa{sp});
        return;
    }
    if (to.mask_events) {
        vcpu.info64().evtchn_upcall_mask = 1;
    }
    regs.rip = to.address;
    regs.cs = abi::x64::FLAT_KERNEL_CS;
    regs.ss = abi::x64::FLAT_KERNEL_SS;
    regs.rsp = sp;
    regs.rflags &= ~ENTRY_CLEARS;
}

bool pushes_error_code(unsigned vector) {
    constexpr u32 WITH_ERROR = 1u << abi::TRAP_double_fault | 1u << abi::TRAP_invalid_tss | 1u << abi::TRAP_no_segment |
                               1u << abi::TRAP_stack_error | 1u << abi::TRAP_gp_fault | 1u << abi::TRAP_page_fault |
                               1u << abi::TRAP_alignment_check | 1u << abi::TRAP_control_protection;
    return vector < 32 && (WITH_ERROR >> vector & 1) != 0;
}

/// A mix of all registers at the fault, rip and rsp among them: equal mixes mean that nothing moved.
u64 mix_registers(const Regs& regs) {
    u64 mix = regs.rip ^ regs.rsp << 1;
    const u64* general = &regs.r15;
    for (unsigned i = 0; i < 15; i++) {
        mix = (mix << 7 | mix >> 57) ^ general[i];
    }
    return mix;
}

/// The same fault of the guest kernel with the same registers, over and over with nothing else in between but returns
/// from its handler: it will never go on. User mode may do so as long as it likes: its kernel can end it. The home
/// ring0 shows the core one page fault in 256 (Vcpu::fault_samples), so there each counts for as many.
bool loops_on_fault(Vcpu& vcpu, u64 vector) {
    constexpr u64 BOUND = 200000;
    if (!vcpu.kernel_mode) {
        return false;
    }
    const u64 registers = mix_registers(*vcpu.regs);
    auto& last = vcpu.last_fault;
    if (last.registers == registers && last.cr2 == vcpu.cr2 && last.vector == vector) {
        last.count += vcpu.domain->boot->home == doorbell::Home::ring0 ? 256 : 1;
        return last.count > BOUND;
    }
    last = {registers, vcpu.cr2, vector, 0};
    return false;
}

/// A guest kernel that has the address of the machine-to-physical table compiled in, where the table lies elsewhere.
bool misses_fixed_m2p(const Vcpu& vcpu) {
    const doorbell::BootInfo& boot = *vcpu.domain->boot;
    const u64 fixed = doorbell::slot_va(doorbell::M2P_SLOT_ABI);
    return vcpu.kernel_mode && boot.m2p_va != fixed && vcpu.cr2 - fixed < boot.max_mfn * sizeof(u64);
}

void page_fault(Vcpu& vcpu) {
    if (misses_fixed_m2p(vcpu)) {
        crash_guest_at(vcpu,
                       "the guest has the address of Xen's machine-to-physical table compiled in, which this KVM "
                       "keeps for itself; use a host with VMX or SVM, or tools/laptop",
                       GuestVa{vcpu.cr2});
        return;
    }
    const Regs& regs = *vcpu.regs;
    const u64 write_protection = abi::PFEC_page_present | abi::PFEC_write_access;
    const bool assisted = vcpu.domain->assists(abi::VMASST_TYPE_writable_pagetables);
    const bool may_be_table = assisted && vcpu.kernel_mode && (regs.error & write_protection) == write_protection &&
                              (regs.error & (abi::PFEC_reserved_bit | abi::PFEC_insn_fetch)) == 0;
    if (vcpu.domain->io_mappings != 0 && (regs.error & abi::PFEC_page_present) != 0 &&
        access_io_memory(vcpu, GuestVa{vcpu.cr2})) {
        vcpu.domain->machine->mailbox->counters.emulated++;
        vcpu.last_fault.count = 0;
        return;
    }
    if (may_be_table && emulate_page_table_write(vcpu, GuestVa{vcpu.cr2})) {
        vcpu.domain->machine->mailbox->counters.ptwr++;
        vcpu.last_fault.count = 0;
        return;
    }
    deliver_page_fault(vcpu, vcpu.cr2, regs.error);
}

void device_not_available(Vcpu& vcpu) {
    vcpu.ts = 0; // as Xen: delivering #NM clears the guest's CR0.TS
    vcpu.work.flags |= ExitWork::SET_TS;
    deliver_exception(vcpu, abi::TRAP_no_device, 0);
}

/// Where CR0.TS has no effect at ring 3, a program that goes on after a switch would find, and keep, the vector state
/// of the one before. So it is told at once what the processor would tell at the first such instruction: #NM, as soon
/// as user mode is to run with TS set. A kernel that switches lazily loads the program's state then, somewhat early.
void raise_held_no_device(Vcpu& vcpu) {
    if (vcpu.ts != 0 && vcpu.kernel_mode == 0 &&
        (vcpu.domain->boot->domain.features & doorbell::BOOT_TS_IGNORED) != 0 &&
        vcpu.traps[abi::TRAP_no_device].address != 0) {
        device_not_available(vcpu);
    }
}

void general_protection(Vcpu& vcpu) {
    constexpr u64 FROM_IDT = 2;
    if ((vcpu.regs->error & FROM_IDT) != 0 && emulate_software_interrupt(vcpu)) {
        return;
    }
    // User mode too: port I/O where IOPL lets it.
    if (emulate_compat_sysenter(vcpu) || emulate_privileged(vcpu)) {
        vcpu.domain->machine->mailbox->counters.emulated++;
        vcpu.last_fault.count = 0;
        return;
    }
    deliver_exception(vcpu, abi::TRAP_gp_fault, vcpu.regs->error);
}

void invalid_opcode(Vcpu& vcpu) {
    if (emulate_forced_cpuid(vcpu) || emulate_software_interrupt(vcpu) || emulate_compat_syscall(vcpu)) {
        vcpu.domain->machine->mailbox->counters.emulated++;
        vcpu.last_fault.count = 0;
        return;
    }
    if (vcpu.kernel_mode && emulate_privileged(vcpu)) {
        return;
    }
    deliver_exception(vcpu, abi::TRAP_invalid_op, 0);
}

/// The callback of SYSCALL, or #UD at the instruction where there is none.
void bounce_syscall(Vcpu& vcpu, u64 address) {
    constexpr u64 SYSCALL_LENGTH = 2;
    if (address == 0) {
        vcpu.regs->rip -= SYSCALL_LENGTH;
        deliver_exception(vcpu, abi::TRAP_invalid_op, 0);
        return;
    }
    bounce(vcpu, {address, vcpu.syscall_masks_events != 0, false, false, 0});
    vcpu.regs->rflags = rflags::IF | rflags::FIXED; // clean, as the fast paths of both homes make them
}

void exception(Vcpu& vcpu, unsigned vector) {
    vcpu.domain->machine->mailbox->counters.exceptions[vector]++;
    if (loops_on_fault(vcpu, vector)) {
        crash_guest_at(vcpu, "the same fault again and again: its handler does not mend it", GuestVa{vcpu.cr2});
        return;
    }
    switch (vector) {
    case abi::TRAP_page_fault:
        page_fault(vcpu);
        return;
    case abi::TRAP_gp_fault:
        general_protection(vcpu);
        return;
    case abi::TRAP_invalid_op:
        invalid_opcode(vcpu);
        return;
    case abi::TRAP_no_device:
        device_not_available(vcpu);
        return;
    case abi::TRAP_double_fault:
        nucleus_bug(vcpu, "double fault");
        return;
    default:
        deliver_exception(vcpu, vector, vcpu.regs->error);
    }
}

void take_interrupts(Vcpu& vcpu) {
    const u32 bits = __atomic_exchange_n(&vcpu.irq_bits, 0, __ATOMIC_ACQUIRE);
    if (bits == 0) {
        return;
    }
    vcpu.domain->machine->mailbox->counters.interrupts++;
    if ((bits & Vcpu::IRQ_MAILBOX) != 0) {
        take_mailbox(*vcpu.domain);
    }
    if ((bits & Vcpu::IRQ_TIMER) != 0) {
        timer_expired(vcpu);
    }
}

} // namespace

/// MSRs are written behind `swapgs`: what is queued for one GS base is then for the other name. (Only a multicall that
/// ends in iret has such.)
static void swap_queued_gs_bases(Vcpu& vcpu) {
    ExitWork& work = vcpu.work;
    for (u32 i = 0; i < work.nr_msrs; i++) {
        u32& index = work.msrs[i].index;
        if (index == msr::GS_BASE) {
            index = msr::KERNEL_GS_BASE;
        } else if (index == msr::KERNEL_GS_BASE) {
            index = msr::GS_BASE;
        }
    }
}

void set_kernel_mode(Vcpu& vcpu, bool kernel) {
    if ((vcpu.kernel_mode != 0) == kernel) {
        return;
    }
    vcpu.kernel_mode = kernel ? 1 : 0;
    vcpu.work.flags ^= ExitWork::SWAPGS;
    swap_queued_gs_bases(vcpu);
}

void deliver_exception(Vcpu& vcpu, unsigned vector, u64 error_code) {
    const TrapHandler& handler = vcpu.traps[vector];
    if (handler.address == 0) {
        crash_guest(vcpu, "exception without a handler registered");
        return;
    }
    bounce(vcpu, {handler.address, (handler.flags & abi::TI_IF) != 0, pushes_error_code(vector), false, error_code});
}

void deliver_page_fault(Vcpu& vcpu, u64 cr2, u64 error_code) {
    vcpu.info64().arch.cr2 = cr2;
    // Both modes of a 64-bit guest run at ring 3; the guest is to see its own idea of user mode.
    const u64 user = vcpu.kernel_mode ? 0 : abi::PFEC_user_mode;
    deliver_exception(vcpu, abi::TRAP_page_fault, (error_code & ~u64{abi::PFEC_user_mode}) | user);
}

void deliver_syscall(Vcpu& vcpu) {
    bounce_syscall(vcpu, vcpu.syscall_entry);
}

void deliver_syscall32(Vcpu& vcpu) {
    bounce_syscall(vcpu, vcpu.syscall32_entry);
}

void deliver_sysenter(Vcpu& vcpu) {
    if (vcpu.sysenter_callback.address == 0) {
        deliver_exception(vcpu, abi::TRAP_gp_fault, 0);
        return;
    }
    bounce(vcpu, {vcpu.sysenter_callback.address, vcpu.sysenter_callback.mask_events, false, false, 0});
}

void deliver_software_interrupt(Vcpu& vcpu, unsigned vector) {
    const TrapHandler& handler = vcpu.traps[vector];
    bounce(vcpu, {handler.address, (handler.flags & abi::TI_IF) != 0, false, false, 0});
}

/// As in Xen: one at a time, until the guest's next iret; without a handler it is lost.
static void deliver_nmi(Vcpu& vcpu) {
    __atomic_store_n(&vcpu.nmi_pending, false, __ATOMIC_SEQ_CST);
    if (vcpu.traps[abi::TRAP_nmi].address == 0) {
        return;
    }
    vcpu.nmi_masked = 1;
    place_entry_info(vcpu); // the iret is the core's
    deliver_exception(vcpu, abi::TRAP_nmi, 0);
}

void deliver_pending_events(Vcpu& vcpu) {
    if (vcpu.nmi_pending && vcpu.nmi_masked == 0) {
        deliver_nmi(vcpu);
    }
    abi::vcpu_info64& info = vcpu.info64();
    if (info.evtchn_upcall_pending == 0 || info.evtchn_upcall_mask != 0 || vcpu.event_callback.address == 0) {
        return;
    }
    vcpu.domain->machine->mailbox->counters.upcalls++;
    bounce(vcpu, {vcpu.event_callback.address, true, false, false, 0});
}

void handle_entry(Vcpu& vcpu) {
    Domain& domain = *vcpu.domain;
    take_interrupts(vcpu);
    const u64 why = vcpu.regs->vector;
    if (why < 32) {
        exception(vcpu, static_cast<unsigned>(why));
    } else if (why == vector::SYSCALL) {
        if (vcpu.kernel_mode) {
            dispatch_hypercall(vcpu);
        } else {
            vcpu.syscalls++;
            deliver_syscall(vcpu);
        }
    } else if (why == vector::SYSCALL32) {
        deliver_syscall32(vcpu);
    } else if (why == vector::SYSENTER) {
        deliver_sysenter(vcpu);
    } else if (why == vector::WAKE) {
        handle_wake(vcpu);
    } else if (why == vector::START) {
        start_vcpu(vcpu);
    } else if (why == vector::FAILSAFE) {
        bounce(vcpu, {vcpu.failsafe_callback.address, vcpu.failsafe_callback.mask_events, false, true, 0});
    }
    if (!domain.dead && (vcpu.work.flags & ExitWork::BLOCK) == 0 && !vcpu.hold_events) {
        raise_held_no_device(vcpu);
        deliver_pending_events(vcpu);
    }
}

/// iret: back to what a frame on the guest's stack says (struct iret_context). The result is the rax to continue with.
Status do_iret(Vcpu& vcpu, const HypercallArgs&) {
    Regs& regs = *vcpu.regs;
    abi::iret_context frame;
    if (!get(vcpu, frame, GuestVa{regs.rsp})) {
        crash_guest_at(vcpu, "iret with a stack pointer that is not mapped", GuestVa{regs.rsp});
        return 0;
    }
    if ((frame.cs & 3) == 3) {
        if (vcpu.user_root == NO_MFN) {
            crash_guest(vcpu, "iret to user mode without a user page table");
            return 0;
        }
        set_kernel_mode(vcpu, false);
    }
    if (vcpu.domain->assists(abi::VMASST_TYPE_architectural_iopl)) {
        vcpu.iopl = static_cast<u32>((frame.rflags & rflags::IOPL) >> rflags::IOPL_SHIFT);
    }
    regs.rip = frame.rip;
    regs.cs = (frame.cs & 0xffff) | 3;
    regs.rflags =
        (frame.rflags & ~(rflags::IOPL | rflags::VM | rflags::VIF | rflags::VIP)) | rflags::IF | rflags::FIXED;
    regs.rsp = frame.rsp;
    regs.ss = (frame.ss & 0xffff) | 3;
    if ((frame.flags & abi::VGCF_in_syscall) == 0) {
        regs.r11 = frame.r11;
        regs.rcx = frame.rcx;
    } else {
        regs.r11 = regs.rflags;
        regs.rcx = regs.rip;
    }
    vcpu.info64().evtchn_upcall_mask = (frame.rflags & rflags::IF) != 0 ? 0 : 1;
    if (vcpu.nmi_masked != 0) {
        vcpu.nmi_masked = 0;
        place_entry_info(vcpu);
    }
    regs.vector = vector::RETURNED; // there is no SYSCALL any more to return from
    return static_cast<Status>(frame.rax);
}

} // namespace parapet::nucleus
