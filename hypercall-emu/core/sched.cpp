// SPDX-License-Identifier: Apache-2.0
// sched_op: yield, block, poll, shutdown, watchdogs.
//
//   running --block/poll, nothing to do--> blocked (ExitWork::BLOCK: the home waits for an interrupt)
//   blocked --vector::WAKE, handle_wake: kicked, event or timeout--> running; otherwise it blocks again
#include "pv-abi/sched.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {
namespace {

constexpr u64 NS_PER_SECOND = 1'000'000'000;
constexpr u32 MAX_POLL_PORTS = 128; // Xen's limit

bool wake_due(const Vcpu& vcpu) {
    return __atomic_load_n(&vcpu.kicked, __ATOMIC_SEQ_CST) || delivery_due(vcpu);
}

void unblock(Vcpu& vcpu) {
    const bool timers_change = vcpu.poll_deadline_ns != 0 || vcpu.periodic_ns != 0;
    vcpu.blocked = false;
    vcpu.poll_wait = false;
    vcpu.poll_deadline_ns = 0;
    vcpu.kicked = false;
    vcpu.work.flags &= ~ExitWork::BLOCK;
    set_runstate(vcpu, abi::RUNSTATE_running);
    if (timers_change)
        arm_timer(vcpu);
}

void fall_asleep(Vcpu& vcpu) {
    vcpu.blocked = true;
    vcpu.work.flags |= ExitWork::BLOCK;
    set_runstate(vcpu, abi::RUNSTATE_blocked);
    arm_timer(vcpu); // may find a deadline passed, and kick
    if (vcpu.blocked && wake_due(vcpu))
        unblock(vcpu);
}

Status block(Vcpu& vcpu) {
    vcpu.kicked = false;
    __atomic_store_n(&vcpu.info64().evtchn_upcall_mask, uint8_t{0}, __ATOMIC_SEQ_CST);
    if (!event_deliverable(vcpu))
        fall_asleep(vcpu);
    return 0;
}

/// 1: one of the ports is pending. 0: none. Otherwise an error. `last` receives the last port.
Status check_polled(Vcpu& vcpu, const abi::sched_poll64& poll, u32& last) {
    for (u32 i = 0; i < poll.nr_ports; i++) {
        if (!get(vcpu, last, GuestVa{poll.ports} + i * sizeof(abi::evtchn_port_t)))
            return -abi::XEN_EFAULT;
        if (!port_exists(*vcpu.domain, last))
            return -abi::XEN_EINVAL;
        if (vcpu.domain->channels[last].state != ChannelState::closed && port_is_pending(*vcpu.domain, {last}))
            return 1;
    }
    return 0;
}

Status poll(Vcpu& vcpu, GuestVa arg) {
    abi::sched_poll64 poll;
    if (!get(vcpu, poll, arg))
        return -abi::XEN_EFAULT;
    if (poll.nr_ports > MAX_POLL_PORTS)
        return -abi::XEN_EINVAL;
    // Wait first, then look: an event that comes in between kicks.
    vcpu.kicked = false;
    vcpu.poll_port = 0;
    vcpu.poll_wait = true;
    u32 port = 0;
    const Status found = event_deliverable(vcpu) ? 1 : check_polled(vcpu, poll, port);
    if (found != 0) {
        vcpu.poll_wait = false;
        return found < 0 ? found : 0;
    }
    vcpu.poll_port = poll.nr_ports == 1 ? port : 0;
    vcpu.poll_deadline_ns = static_cast<int64_t>(poll.timeout) < 0 ? 1 : poll.timeout; // signed: long past
    fall_asleep(vcpu);
    return 0;
}

Status shutdown(Vcpu& vcpu, GuestVa arg) {
    abi::sched_shutdown op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    shut_down(vcpu, op.reason & 0xff);
    return 0;
}

Status shutdown_code(Vcpu& vcpu, GuestVa arg) {
    abi::sched_shutdown op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    vcpu.domain->shutdown_code_plus_1 = (op.reason & 0xff) + 1;
    return 0;
}

Status remote_shutdown(Vcpu& vcpu, GuestVa arg) {
    abi::sched_remote_shutdown op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    return op.domain_id == 0 || op.domain_id == vcpu.domain->domid ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

Status watchdog(Vcpu& vcpu, GuestVa arg) {
    abi::sched_watchdog op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    Domain& domain = *vcpu.domain;
    if (op.id > Domain::NR_WATCHDOGS)
        return -abi::XEN_EINVAL;
    const u64 deadline = system_time_ns(domain) + op.timeout * NS_PER_SECOND;
    Status result = 0;
    if (op.id == 0) {
        u32 slot = 0;
        while (slot < Domain::NR_WATCHDOGS && domain.watchdog_deadline_ns[slot] != 0)
            slot++;
        if (slot == Domain::NR_WATCHDOGS)
            return -abi::XEN_ENOSPC;
        domain.watchdog_deadline_ns[slot] = deadline;
        result = static_cast<Status>(slot) + 1;
    } else {
        u64& armed = domain.watchdog_deadline_ns[op.id - 1];
        if (armed == 0)
            return -abi::XEN_EINVAL;
        armed = op.timeout != 0 ? deadline : 0;
    }
    Vcpu* keeper = find_vcpu(domain, 0); // see keeps_watch() in timer.cpp
    if (keeper == &vcpu)
        arm_timer(vcpu);
    else if (keeper != nullptr)
        domain.machine->wake(0);
    return result;
}

} // namespace

void shut_down(Vcpu& vcpu, u32 reason) {
    Domain& domain = *vcpu.domain;
    vcpu.work.flags |= ExitWork::STOP;
    if (domain.dead)
        return;
    domain.dead = true;
    domain.machine->mailbox->request.argument[0] =
        domain.shutdown_code_plus_1 != 0 ? domain.shutdown_code_plus_1 - 1 : reason;
    (void)domain.machine->request(doorbell::Request::shutdown, 0);
}

void handle_wake(Vcpu& vcpu) {
    if (!vcpu.blocked)
        return;
    if (vcpu.online && wake_due(vcpu)) {
        unblock(vcpu);
        return;
    }
    vcpu.work.flags |= ExitWork::BLOCK;
    if (vcpu.id == 0)
        arm_timer(vcpu); // another vCPU may have set a watchdog
}

Status do_sched_op(Vcpu& vcpu, const HypercallArgs& args) {
    const GuestVa arg{args.a[1]};
    switch (static_cast<u32>(args.a[0])) {
    case abi::SCHEDOP_yield: // the host shares out its processors; no in-kernel exit would give this one up
        return 0;
    case abi::SCHEDOP_block:
        return block(vcpu);
    case abi::SCHEDOP_poll:
        return poll(vcpu, arg);
    case abi::SCHEDOP_shutdown:
        return shutdown(vcpu, arg);
    case abi::SCHEDOP_shutdown_code:
        return shutdown_code(vcpu, arg);
    case abi::SCHEDOP_remote_shutdown:
        return remote_shutdown(vcpu, arg);
    case abi::SCHEDOP_watchdog:
        return watchdog(vcpu, arg);
    case abi::SCHEDOP_pin_override:
        return -abi::XEN_EPERM;
    default:
        return -abi::XEN_ENOSYS;
    }
}

Status do_sched_op_compat(Vcpu& vcpu, const HypercallArgs& args) {
    switch (static_cast<u32>(args.a[0])) {
    case abi::SCHEDOP_yield:
        return 0;
    case abi::SCHEDOP_block:
        return block(vcpu);
    case abi::SCHEDOP_shutdown:
        shut_down(vcpu, static_cast<u32>(args.a[1] & 0xff));
        return 0;
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace parapet::nucleus
