// SPDX-License-Identifier: Apache-2.0
// How a secondary vCPU gets its state and starts.
//
//   VCPUOP_initialise: context -> Vcpu, start_regs    VCPUOP_up: online, Machine::wake    vector::START: start_vcpu
//
// The context (5 KiB) is read field by field: it would not fit the core's stack comfortably, and each field is used
// as it was read, once.
#include "hypercall-emu/core/vcpu_start.hpp"

#include "hypercall-emu/core/checks.hpp"
#include "hypercall-emu/core/descriptor.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/vcpu_context.hpp"

namespace parapet::nucleus {
namespace {

using Context = abi::vcpu_guest_context64;

constexpr u64 MAX_LDT_ENTRIES = 8192;
constexpr u32 MSR_FS_BASE = 0xc0000100, MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102;
constexpr u64 DR6_FIXED = 0xffff0ff0, DR7_FIXED = 0x400;

#define PARAPET_FIELD(name) (arg + offsetof(Context, name))

Status read_traps(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    for (u32 i = 0; i < 256; i++) {
        abi::trap_info64 trap;
        if (!get(vcpu, trap, PARAPET_FIELD(trap_ctxt) + i * sizeof(trap)))
            return -abi::XEN_EFAULT;
        if (trap.address != 0 && !is_guest_va(trap.address))
            return -abi::XEN_EINVAL;
        set_trap(target, static_cast<u8>(i),
                 {.address = trap.address, .cs = ring3_selector(trap.cs), .flags = trap.flags});
    }
    return 0;
}

Status read_callbacks(Vcpu& vcpu, Vcpu& target, GuestVa arg, u64 flags) {
    u64 event = 0, failsafe = 0, syscall = 0;
    if (!get(vcpu, event, PARAPET_FIELD(event_callback_eip)) ||
        !get(vcpu, failsafe, PARAPET_FIELD(failsafe_callback_eip)) ||
        !get(vcpu, syscall, PARAPET_FIELD(syscall_callback_eip)))
        return -abi::XEN_EFAULT;
    if (!is_guest_va(event) || !is_guest_va(failsafe) || !is_guest_va(syscall))
        return -abi::XEN_EINVAL;
    target.event_callback = {.address = event, .mask_events = true};
    target.failsafe_callback = {.address = failsafe, .mask_events = (flags & abi::VGCF_failsafe_disables_events) != 0};
    target.syscall_entry = syscall;
    target.syscall_masks_events = (flags & abi::VGCF_syscall_disables_events) != 0 ? 1 : 0;
    return 0;
}

Status read_registers(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    abi::cpu_user_regs64 user;
    u64 ss = 0, sp = 0;
    if (!get(vcpu, user, PARAPET_FIELD(user_regs)) || !get(vcpu, ss, PARAPET_FIELD(kernel_ss)) ||
        !get(vcpu, sp, PARAPET_FIELD(kernel_sp)) || !get(vcpu, target.start_fs_base, PARAPET_FIELD(fs_base)) ||
        !get(vcpu, target.start_gs_kernel, PARAPET_FIELD(gs_base_kernel)) ||
        !get(vcpu, target.start_gs_user, PARAPET_FIELD(gs_base_user)))
        return -abi::XEN_EFAULT;
    if (!is_guest_va(user.rip) || !is_canonical(user.rsp) || !is_canonical(target.start_fs_base) ||
        !is_canonical(target.start_gs_kernel) || !is_canonical(target.start_gs_user))
        return -abi::XEN_EINVAL;
    target.kernel_ss = ring3_selector(ss);
    target.kernel_sp = is_safe_stack(sp) ? sp & ~15ULL : 0;
    target.start_regs = {.r15 = user.r15,
                         .r14 = user.r14,
                         .r13 = user.r13,
                         .r12 = user.r12,
                         .rbp = user.rbp,
                         .rbx = user.rbx,
                         .r11 = user.r11,
                         .r10 = user.r10,
                         .r9 = user.r9,
                         .r8 = user.r8,
                         .rax = user.rax,
                         .rcx = user.rcx,
                         .rdx = user.rdx,
                         .rsi = user.rsi,
                         .rdi = user.rdi,
                         .vector = vector::START,
                         .error = 0,
                         .rip = user.rip,
                         .cs = ring3_selector(user.cs),
                         // What a guest may hold: arithmetic flags and DF; interrupts are always on below it.
                         .rflags = (user.rflags & 0xcd5) | rflags::IF | rflags::FIXED,
                         .rsp = user.rsp,
                         .ss = ring3_selector(user.ss)};
    target.iopl = static_cast<u32>((user.rflags & rflags::IOPL) >> rflags::IOPL_SHIFT);
    return 0;
}

Status read_descriptor_tables(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    u64 ldt_base = 0, ldt_entries = 0, gdt_entries = 0;
    u64 frames[GDT_GUEST_PAGES] = {};
    if (!get(vcpu, ldt_base, PARAPET_FIELD(ldt_base)) || !get(vcpu, ldt_entries, PARAPET_FIELD(ldt_ents)) ||
        !get(vcpu, gdt_entries, PARAPET_FIELD(gdt_ents)) || !get(vcpu, frames, PARAPET_FIELD(gdt_frames)))
        return -abi::XEN_EFAULT;
    if (ldt_entries > MAX_LDT_ENTRIES || gdt_entries > abi::FIRST_RESERVED_GDT_ENTRY)
        return -abi::XEN_EINVAL;
    if (const Status status = install_gdt(target, frames, static_cast<u32>(gdt_entries)); status != 0)
        return status;
    return set_ldt(target, {ldt_base}, static_cast<u32>(ldt_entries));
}

Status read_roots(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    u64 kernel = 0, user = 0;
    if (!get(vcpu, user, PARAPET_FIELD(ctrlreg) + 1 * sizeof(u64)) ||
        !get(vcpu, kernel, PARAPET_FIELD(ctrlreg) + 3 * sizeof(u64)))
        return -abi::XEN_EFAULT;
    if (const Status status = set_kernel_root(target, {abi::x64::xen_cr3_to_pfn(kernel)}); status != 0)
        return status;
    return set_user_root(target, user == 0 ? NO_MFN : Mfn{abi::x64::xen_cr3_to_pfn(user)});
}

Status read_context(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    u64 flags = 0;
    if (!get(vcpu, flags, PARAPET_FIELD(flags)))
        return -abi::XEN_EFAULT;
    if ((flags & abi::VGCF_in_kernel) == 0)
        return -abi::XEN_EINVAL; // Xen would start it in user mode; no guest does that
    if (const Status status = read_registers(vcpu, target, arg); status != 0)
        return status;
    if (const Status status = read_callbacks(vcpu, target, arg, flags); status != 0)
        return status;
    if (const Status status = read_traps(vcpu, target, arg); status != 0)
        return status;
    if (const Status status = read_roots(vcpu, target, arg); status != 0)
        return status;
    return read_descriptor_tables(vcpu, target, arg); // the LDT is found through the new root
}

/// Is all of the context there? So Xen finds out first, as it copies it whole.
bool context_readable(Vcpu& vcpu, GuestVa arg) {
    u8 byte = 0;
    for (u64 offset = 0; offset < sizeof(Context); offset += PAGE_SIZE) {
        if (!get(vcpu, byte, arg + offset))
            return false;
    }
    return get(vcpu, byte, arg + (sizeof(Context) - 1));
}

} // namespace

Status initialise_vcpu(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    if (!context_readable(vcpu, arg))
        return -abi::XEN_EFAULT;
    if (target.initialised || target.online)
        return -abi::XEN_EEXIST;
    if (const Status status = read_context(vcpu, target, arg); status != 0)
        return status; // what it has by now, another try replaces
    target.kernel_mode = 1;
    target.dr[6] = DR6_FIXED;
    target.dr[7] = DR7_FIXED;
    target.initialised = true;
    return 0;
}

void start_vcpu(Vcpu& vcpu) {
    if (vcpu.started || !vcpu.initialised)
        return;
    vcpu.started = true;
    vcpu.kicked = false;
    vcpu.blocked = false;
    *vcpu.regs = vcpu.start_regs;
    queue_msr(vcpu, MSR_FS_BASE, vcpu.start_fs_base);
    queue_msr(vcpu, MSR_GS_BASE, vcpu.start_gs_kernel);
    queue_msr(vcpu, MSR_KERNEL_GS_BASE, vcpu.start_gs_user);
    vcpu.work.flags |= ExitWork::DEBUG_REGS; // descriptor tables were queued by install_gdt and set_ldt
    set_runstate(vcpu, abi::RUNSTATE_running);
    arm_timer(vcpu);
}

} // namespace parapet::nucleus
