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
        vcpu.work.gs_selector = static_cast<u16>(base);
        vcpu.work.flags |= ExitWork::LOAD_GS_SELECTOR;
        return 0;
    default:
        return -abi::XEN_EINVAL;
    }
}

} // namespace parapet::nucleus
