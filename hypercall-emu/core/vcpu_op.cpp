// SPDX-License-Identifier: Apache-2.0
// vcpu_op: vCPUs up and down, their run states, timers and registered areas. VCPUOP_initialise is in vcpu_start.cpp.
#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "hypercall-emu/core/vcpu_start.hpp"
#include "pv-abi/vcpu.hpp"

namespace parapet::nucleus {
namespace {

constexpr u64 NS_PER_MS = 1'000'000;
constexpr u64 LONGEST_PERIOD = ~0ULL >> 2; // Xen's STIME_DELTA_MAX

Status up(Vcpu& vcpu, Vcpu& target) {
    if (!target.initialised)
        return -abi::XEN_EINVAL;
    if (target.online)
        return 0;
    target.online = true;
    kick(target);
    vcpu.domain->machine->wake(target.id);
    return 0;
}

Status down(Vcpu& vcpu, Vcpu& target) {
    Domain& domain = *vcpu.domain;
    bool another = false;
    for (u32 id = 0; id < domain.nr_vcpus; id++)
        another = another || (domain.vcpus[id] != nullptr && domain.vcpus[id] != &target && domain.vcpus[id]->online);
    if (!another) { // as Linux does that meets a BUG before it can print; Xen says "powered off" to this
        crash_guest(vcpu, "the guest stopped its last virtual CPU without shutting down");
        return 0;
    }
    if (!target.online)
        return 0;
    target.online = false;
    if (&target == &vcpu) {
        vcpu.blocked = true;
        vcpu.kicked = false;
        vcpu.work.flags |= ExitWork::BLOCK;
        set_runstate(vcpu, abi::RUNSTATE_offline);
        arm_timer(vcpu);
    } else {
        domain.machine->wake(target.id); // it finds itself offline
    }
    return 0;
}

abi::vcpu_runstate_info64 runstate_of(Vcpu& vcpu) {
    const Runstate& runstate = vcpu.runstate;
    abi::vcpu_runstate_info64 info = {};
    info.state = runstate.state;
    info.state_entry_time = runstate.entry_time;
    for (unsigned i = 0; i < 4; i++)
        info.time[i] = runstate.time[i];
    const u64 now = system_time_ns(*vcpu.domain);
    if (now > runstate.entry_time)
        info.time[runstate.state] += now - runstate.entry_time;
    return info;
}

Status register_runstate_area(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    abi::vcpu_register_runstate_memory_area64 area;
    if (!get(vcpu, area, arg) || !is_guest_va(area.addr.v) ||
        !is_guest_va(area.addr.v + sizeof(abi::vcpu_runstate_info64) - 1))
        return -abi::XEN_EFAULT;
    target.runstate.guest_va = area.addr.v;
    if (area.addr.v != 0)
        (void)put(vcpu, {area.addr.v}, runstate_of(target)); // not mapped yet: written at the next change
    return 0;
}

Status register_time_area(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    abi::vcpu_register_time_memory_area64 area;
    if (!get(vcpu, area, arg) || !is_guest_va(area.addr.v) ||
        !is_guest_va(area.addr.v + sizeof(abi::vcpu_time_info) - 1))
        return -abi::XEN_EFAULT;
    target.time_area_va = area.addr.v;
    if (&target == &vcpu)
        refresh_time_info(vcpu);
    else if (area.addr.v != 0)
        (void)put(vcpu, {area.addr.v}, target.info64().time);
    return 0;
}

/// Move vcpu_info into a frame of the guest's, for good: its reference is never given back.
Status register_info(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::vcpu_register_vcpu_info op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.offset > PAGE_SIZE - sizeof(abi::vcpu_info64) || op.offset % alignof(abi::vcpu_info64) != 0)
        return -abi::XEN_ENXIO;
    const bool registered = target.info_mfn != NO_MFN.number;
    if (registered || (&target != &vcpu && target.online))
        return -abi::XEN_EINVAL;
    const Mfn mfn{op.mfn};
    if (!domain.frames.domain_owns(mfn) || acquire_type(vcpu, mfn, FrameType::writable) != 0)
        return -abi::XEN_EINVAL;
    copy_bytes(static_cast<u8*>(domain.machine->frame(mfn)) + op.offset, target.info, sizeof(abi::vcpu_info64));
    place_info(target, mfn, op.offset);
    target.info_mfn = op.mfn;
    // An event may have been noted in the old place after the copy: let the guest look at every word.
    __atomic_store_n(&target.info64().evtchn_pending_sel, ~0ULL, __ATOMIC_SEQ_CST);
    __atomic_store_n(&target.info64().evtchn_upcall_pending, uint8_t{1}, __ATOMIC_SEQ_CST);
    return 0;
}

Status set_periodic(Vcpu& vcpu, Vcpu& target, u64 period_ns) {
    target.periodic_ns = period_ns;
    target.periodic_next_ns = system_time_ns(*vcpu.domain) + period_ns;
    if (&target == &vcpu)
        arm_timer(vcpu);
    else
        vcpu.domain->machine->wake(target.id);
    return 0;
}

Status set_periodic_timer(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    abi::vcpu_set_periodic_timer op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.period_ns < NS_PER_MS || op.period_ns > LONGEST_PERIOD)
        return -abi::XEN_EINVAL;
    return set_periodic(vcpu, target, op.period_ns);
}

Status set_singleshot_timer(Vcpu& vcpu, GuestVa arg) {
    abi::vcpu_set_singleshot_timer64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    const u64 now = system_time_ns(*vcpu.domain);
    const bool past = static_cast<int64_t>(op.timeout_abs_ns) < static_cast<int64_t>(now);
    vcpu.timer_deadline_ns = past ? now : op.timeout_abs_ns; // VCPU_SSHOTTMR_future is passed over, as Xen does by now
    arm_timer(vcpu);
    return 0;
}

Status stop_singleshot_timer(Vcpu& vcpu) {
    vcpu.timer_deadline_ns = 0;
    arm_timer(vcpu);
    return 0;
}

Status send_nmi(Vcpu& vcpu, Vcpu& target, GuestVa arg) {
    if (arg.address != 0)
        return -abi::XEN_EINVAL;
    target.nmi_pending = true;
    if (&target == &vcpu)
        vcpu.work.flags |= ExitWork::LOOK_FOR_NMI; // another is interrupted, and looks by itself
    kick(target);
    return 0;
}

} // namespace

Status do_vcpu_op(Vcpu& vcpu, const HypercallArgs& args) {
    Vcpu* target = find_vcpu(*vcpu.domain, static_cast<u32>(args.a[1]));
    if (target == nullptr)
        return -abi::XEN_ENOENT;
    const GuestVa arg{args.a[2]};
    const bool self = target == &vcpu;
    switch (static_cast<u32>(args.a[0])) {
    case abi::VCPUOP_initialise:
        return initialise_vcpu(vcpu, *target, arg);
    case abi::VCPUOP_up:
        return up(vcpu, *target);
    case abi::VCPUOP_down:
        return down(vcpu, *target);
    case abi::VCPUOP_is_up:
        return target->online ? 1 : 0;
    case abi::VCPUOP_get_runstate_info:
        return put(vcpu, arg, runstate_of(*target)) ? 0 : -abi::XEN_EFAULT;
    case abi::VCPUOP_register_runstate_memory_area:
        return register_runstate_area(vcpu, *target, arg);
    case abi::VCPUOP_set_periodic_timer:
        return set_periodic_timer(vcpu, *target, arg);
    case abi::VCPUOP_stop_periodic_timer:
        return set_periodic(vcpu, *target, 0);
    case abi::VCPUOP_set_singleshot_timer:
        return self ? set_singleshot_timer(vcpu, arg) : -abi::XEN_EINVAL;
    case abi::VCPUOP_stop_singleshot_timer:
        return self ? stop_singleshot_timer(vcpu) : -abi::XEN_EINVAL;
    case abi::VCPUOP_register_vcpu_info:
        return register_info(vcpu, *target, arg);
    case abi::VCPUOP_send_nmi:
        return send_nmi(vcpu, *target, arg);
    case abi::VCPUOP_get_physid: // for vCPUs pinned to processors only
        return -abi::XEN_EINVAL;
    case abi::VCPUOP_register_vcpu_time_memory_area:
        return register_time_area(vcpu, *target, arg);
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
