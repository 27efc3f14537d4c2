// SPDX-License-Identifier: Apache-2.0
// stack_switch, fpu_taskswitch, set_segment_base: what a guest kernel sets at every context switch.
#include "hypercall-emu/core/checks.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/arch.hpp"

namespace parapet::nucleus {
namespace {

constexpr u32 MSR_FS_BASE = 0xc0000100, MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102;

Status set_base(Vcpu& vcpu, u32 msr, u64 base) {
    if (!is_canonical(base))
        return -abi::XEN_EINVAL;
    queue_msr(vcpu, msr, base);
    return 0;
}

/// Base of a data segment in the guest's GDT, where ring 3 could load it; false where only a real load can tell.
bool gdt_base(const Vcpu& vcpu, u16 selector, u64& base) {
    constexpr u64 PRESENT_DATA_RING3 = 0xf2, ACCESS_MASK = 0xfa; // present, DPL 3, code or data, not executable
    constexpr u16 TABLE = 4, PRIVILEGE = 3;
    if ((selector & ~PRIVILEGE) == 0) {
        base = 0;
        return true;
    }
    const unsigned index = selector >> 3;
    if ((selector & TABLE) != 0 || index >= vcpu.gdt_entries) {
        return false;
    }
    const Domain& domain = *vcpu.domain;
    const u64* page = static_cast<const u64*>(domain.machine->frame(Mfn{vcpu.gdt_frames[index / 512]}));
    const u64 descriptor = page[index % 512];
    if ((descriptor >> 40 & ACCESS_MASK) != (PRESENT_DATA_RING3 & ACCESS_MASK)) {
        return false;
    }
    base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56 & 0xff) << 24;
    return true;
}

/// Load the user GS selector. Where ring 3 runs natively it never sees the selector that ring 0 would load, only the
/// base, so that is written instead where it is known: a fraction of the instructions at ring 0.
Status set_user_gs_selector(Vcpu& vcpu, u16 selector) {
    u64 base = 0;
    if (vcpu.domain->boot->syscall_arrival == doorbell::SyscallArrival::page_fault && gdt_base(vcpu, selector, base)) {
        return set_base(vcpu, MSR_KERNEL_GS_BASE, base);
    }
    vcpu.work.gs_selector = selector;
    vcpu.work.flags |= ExitWork::LOAD_GS_SELECTOR;
    return 0;
}

} // namespace

/// A stack that the entry stubs could not write is kept as 0: an entry from user mode then crashes the guest.
Status do_stack_switch(Vcpu& vcpu, const HypercallArgs& args) {
    vcpu.kernel_ss = ring3_selector(args.a[0]);
    vcpu.kernel_sp = is_safe_stack(args.a[1]) ? args.a[1] & ~15ULL : 0; // as frames are aligned
    return 0;
}

Status do_fpu_taskswitch(Vcpu& vcpu, const HypercallArgs& args) {
    const u8 ts = static_cast<u32>(args.a[0]) != 0 ? 1 : 0;
    if (ts != vcpu.ts) {
        vcpu.ts = ts;
        vcpu.work.flags |= ExitWork::SET_TS;
    }
    return 0;
}

/// Hypercalls come from the guest kernel, so the active GS base is the kernel's and the other one the user's.
Status do_set_segment_base(Vcpu& vcpu, const HypercallArgs& args) {
    const u64 base = args.a[1];
    switch (static_cast<u32>(args.a[0])) {
    case abi::SEGBASE_FS:
        return set_base(vcpu, MSR_FS_BASE, base);
    case abi::SEGBASE_GS_USER:
        return set_base(vcpu, MSR_KERNEL_GS_BASE, base);
    case abi::SEGBASE_GS_KERNEL:
        return set_base(vcpu, MSR_GS_BASE, base);
    case abi::SEGBASE_GS_USER_SEL:
        return set_user_gs_selector(vcpu, static_cast<u16>(base));
    default:
        return -abi::XEN_EINVAL;
    }
}

} // namespace parapet::nucleus
