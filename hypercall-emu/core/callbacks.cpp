// SPDX-License-Identifier: Apache-2.0
// callback_op, set_callbacks, nmi_op: the guest's entry points.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/arch.hpp"
#include "pv-abi/callback.hpp"
#include "pv-abi/trap.hpp"

namespace parapet::nucleus {
namespace {

Status register_nmi(Vcpu& vcpu, u64 address) {
    if (!is_guest_va(address))
        return -abi::XEN_EINVAL;
    vcpu.traps[abi::TRAP_nmi] = {.address = address, .cs = abi::x64::FLAT_KERNEL_CS, .flags = abi::TI_IF};
    return 0;
}

Status unregister_nmi(Vcpu& vcpu) {
    vcpu.traps[abi::TRAP_nmi] = {};
    return 0;
}

Status register_callback(Vcpu& vcpu, u16 type, u16 flags, u64 address) {
    if (!is_guest_va(address))
        return -abi::XEN_EINVAL;
    const bool mask = (flags & abi::CALLBACKF_mask_events) != 0;
    switch (type) {
    case abi::CALLBACKTYPE_event:
        vcpu.event_callback = {.address = address, .mask_events = true};
        return 0;
    case abi::CALLBACKTYPE_failsafe:
        vcpu.failsafe_callback = {.address = address, .mask_events = mask};
        return 0;
    case abi::CALLBACKTYPE_syscall:
        vcpu.syscall_entry = address;
        vcpu.syscall_masks_events = mask ? 1 : 0;
        return 0;
    case abi::CALLBACKTYPE_syscall32:
        vcpu.syscall32_entry = address; // whether events are masked, CALLBACKTYPE_syscall says for both, as in Xen
        return 0;
    case abi::CALLBACKTYPE_sysenter:
        vcpu.sysenter_callback = {.address = address, .mask_events = mask};
        return 0;
    case abi::CALLBACKTYPE_nmi:
        return register_nmi(vcpu, address);
    default:
        return -abi::XEN_ENOSYS;
    }
}

Status unregister_callback(Vcpu& vcpu, u16 type) {
    switch (type) {
    case abi::CALLBACKTYPE_event:
    case abi::CALLBACKTYPE_failsafe:
    case abi::CALLBACKTYPE_syscall:
    case abi::CALLBACKTYPE_sysenter:
    case abi::CALLBACKTYPE_syscall32:
        return -abi::XEN_EINVAL; // these may be replaced, never removed
    case abi::CALLBACKTYPE_nmi:
        return unregister_nmi(vcpu);
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace

Status do_callback_op(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa arg{args.a[1]};
    switch (static_cast<u32>(args.a[0])) {
    case abi::CALLBACKOP_register: {
        abi::callback_register64 op;
        return get(vcpu, op, arg) ? register_callback(vcpu, op.type, op.flags, op.address) : -abi::XEN_EFAULT;
    }
    case abi::CALLBACKOP_unregister: {
        abi::callback_unregister op;
        return get(vcpu, op, arg) ? unregister_callback(vcpu, op.type) : -abi::XEN_EFAULT;
    }
    default:
        return -abi::XEN_ENOSYS;
    }
}

/// The old form. As in Xen, a bad address is passed over and the call succeeds.
Status do_set_callbacks(Vcpu& vcpu, const HypercallArgs& args) {
    (void)register_callback(vcpu, abi::CALLBACKTYPE_event, 0, args.a[0]);
    (void)register_callback(vcpu, abi::CALLBACKTYPE_failsafe, 0, args.a[1]);
    (void)register_callback(vcpu, abi::CALLBACKTYPE_syscall, 0, args.a[2]);
    return 0;
}

Status do_nmi_op(Vcpu& vcpu, const HypercallArgs& args) {
    switch (static_cast<u32>(args.a[0])) {
    case abi::XENNMI_register_callback: {
        abi::xennmi_callback64 op;
        return get(vcpu, op, {args.a[1]}) ? register_nmi(vcpu, op.handler_address) : -abi::XEN_EFAULT;
    }
    case abi::XENNMI_unregister_callback:
        return unregister_nmi(vcpu);
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
