// SPDX-License-Identifier: Apache-2.0
// EVTCHNOP_*: opening, binding, closing and signalling event channels.
//
// The only other domain is domain 0, whose part the vmm plays: a channel offered to it is connected at once
// (ChannelState::host). A channel to any other domain stays unbound for ever.
#include "hypercall-emu/core/fifo_events.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {
namespace {

/// A reset that goes on, as Xen numbers it for itself: only a continuation has it.
constexpr unsigned EVTCHNOP_reset_cont = 14;

/// Xen's numbers for a domain that was given no interrupt: below this it is refused, from this on it does not exist.
constexpr u32 NR_PIRQS = 256;

/// Why a request about another domain fails: domain 0 exists but is not ours to ask about.
Status refuse_domain(abi::domid_t id) {
    return id == 0 ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

/// Lowest closed port from 1 on, or 0.
u32 free_port(Domain& domain) {
    const u32 end = domain.fifo.active ? NR_CHANNELS : abi::EVTCHN_2L_NR_CHANNELS<u64>;
    bool first = true;
    for (u32 port = domain.first_free_port; port < end; port++) {
        if (domain.channels[port].state != ChannelState::closed)
            continue;
        if (first)
            domain.first_free_port = port;
        first = false;
        if (!domain.fifo.active || !fifo_is_linked(domain, {port}))
            return port;
    }
    return 0;
}

Status alloc_unbound(Vcpu& vcpu, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::evtchn_alloc_unbound op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (!domain.is_self(op.dom))
        return refuse_domain(op.dom);
    const u32 port = free_port(domain);
    if (port == 0)
        return -abi::XEN_ENOSPC;
    const u16 remote = op.remote_dom == abi::DOMID_SELF ? static_cast<u16>(domain.domid) : op.remote_dom;
    const ChannelState state = remote == 0 ? ChannelState::host : ChannelState::unbound;
    op.port = port;
    if (!put(vcpu, arg, op))
        return -abi::XEN_EFAULT;
    open_channel(domain, {port}, state, 0, remote == 0 ? port : remote);
    return 0;
}

Status bind_interdomain(Vcpu& vcpu, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::evtchn_bind_interdomain op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.remote_dom == 0)
        return -abi::XEN_EINVAL; // domain 0 offers this domain no port
    if (!domain.is_self(op.remote_dom))
        return -abi::XEN_ESRCH;
    const u32 port = free_port(domain);
    if (port == 0)
        return -abi::XEN_ENOSPC;
    if (!port_exists(domain, op.remote_port))
        return -abi::XEN_EINVAL;
    Channel& remote = domain.channels[op.remote_port];
    if (remote.state != ChannelState::unbound || remote.other != domain.domid)
        return -abi::XEN_EINVAL;
    op.local_port = port;
    if (!put(vcpu, arg, op))
        return -abi::XEN_EFAULT;
    remote.state = ChannelState::self;
    remote.other = port;
    open_channel(domain, {port}, ChannelState::self, 0, op.remote_port);
    // A notification sent while the other end was unbound is lost; so assume that there was one.
    set_port_pending(domain, {port});
    return 0;
}

Status bind_virq(Vcpu& vcpu, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::evtchn_bind_virq op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (op.virq >= abi::NR_VIRQS || (virq_is_global(op.virq) && op.vcpu != 0))
        return -abi::XEN_EINVAL;
    if (find_vcpu(domain, op.vcpu) == nullptr)
        return -abi::XEN_ENOENT;
    u32& bound = domain.virq_port[op.vcpu][op.virq];
    if (bound != 0)
        return -abi::XEN_EEXIST;
    const u32 port = free_port(domain);
    if (port == 0)
        return -abi::XEN_ENOSPC;
    op.port = port;
    if (!put(vcpu, arg, op))
        return -abi::XEN_EFAULT;
    open_channel(domain, {port}, ChannelState::virq, op.vcpu, op.virq);
    bound = port;
    return 0;
}

Status bind_ipi(Vcpu& vcpu, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::evtchn_bind_ipi op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (find_vcpu(domain, op.vcpu) == nullptr)
        return -abi::XEN_ENOENT;
    const u32 port = free_port(domain);
    if (port == 0)
        return -abi::XEN_ENOSPC;
    op.port = port;
    if (!put(vcpu, arg, op))
        return -abi::XEN_EFAULT;
    open_channel(domain, {port}, ChannelState::ipi, op.vcpu, 0);
    return 0;
}

Status bind_pirq(Vcpu& vcpu, GuestVa arg) {
    abi::evtchn_bind_pirq op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    return op.pirq < NR_PIRQS ? -abi::XEN_EPERM : -abi::XEN_EINVAL;
}

Status close_port(Domain& domain, u32 port) {
    if (!port_exists(domain, port))
        return -abi::XEN_EINVAL;
    Channel& channel = domain.channels[port];
    const Channel closing = channel;
    if (closing.state == ChannelState::closed)
        return -abi::XEN_EINVAL;
    clear_port_pending(domain, {port});
    channel.state = ChannelState::closed;
    channel.vcpu = 0;
    domain.first_free_port = min_of(domain.first_free_port, port);
    switch (closing.state) {
    case ChannelState::self: {
        Channel& remote = domain.channels[closing.other];
        remote.state = ChannelState::unbound;
        remote.other = domain.domid;
        break;
    }
    case ChannelState::virq:
        domain.virq_port[virq_is_global(closing.other) ? 0 : closing.vcpu][closing.other] = 0;
        break;
    case ChannelState::host: {
        doorbell::RequestBlock& request = domain.machine->mailbox->request;
        request.argument[0] = port;
        (void)domain.machine->request(doorbell::Request::port_closed, 0);
        break;
    }
    case ChannelState::closed:
    case ChannelState::unbound:
    case ChannelState::ipi:
        break;
    }
    return 0;
}

/// Tell the vmm. A bit that it has not taken yet has its doorbell behind it already.
void notify_host(Vcpu& vcpu, u32 port) {
    doorbell::PortBitmap& bitmap = vcpu.domain->machine->mailbox->to_vmm;
    const u64 bit = 1ULL << (port % 64);
    if ((__atomic_fetch_or(&bitmap.word[port / 64], bit, __ATOMIC_SEQ_CST) & bit) != 0)
        return;
    __atomic_fetch_or(&bitmap.selector, 1ULL << (port / 64 % 64), __ATOMIC_SEQ_CST);
    vcpu.work.flags |= ExitWork::DOORBELL;
}

Status send(Vcpu& vcpu, u32 port) {
    Domain& domain = *vcpu.domain;
    if (!port_exists(domain, port))
        return -abi::XEN_EINVAL;
    const Channel& channel = domain.channels[port];
    switch (channel.state) {
    case ChannelState::host:
        notify_host(vcpu, port);
        return 0;
    case ChannelState::self:
        set_port_pending(domain, {channel.other});
        return 0;
    case ChannelState::ipi:
        set_port_pending(domain, {port});
        return 0;
    case ChannelState::unbound:
        return 0; // nobody listens
    case ChannelState::virq:
    case ChannelState::closed:
        break;
    }
    return -abi::XEN_EINVAL;
}

Status status(Vcpu& vcpu, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    abi::evtchn_status op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (!domain.is_self(op.dom))
        return refuse_domain(op.dom);
    if (!port_exists(domain, op.port))
        return -abi::XEN_EINVAL;
    const Channel& channel = domain.channels[op.port];
    switch (channel.state) {
    case ChannelState::closed:
        op.status = abi::EVTCHNSTAT_closed;
        break;
    case ChannelState::unbound:
        op.status = abi::EVTCHNSTAT_unbound;
        op.u.unbound.dom = static_cast<abi::domid_t>(channel.other);
        break;
    case ChannelState::host:
    case ChannelState::self:
        op.status = abi::EVTCHNSTAT_interdomain;
        op.u.interdomain.dom = channel.state == ChannelState::host ? 0 : static_cast<abi::domid_t>(domain.domid);
        op.u.interdomain.port = channel.other;
        break;
    case ChannelState::virq:
        op.status = abi::EVTCHNSTAT_virq;
        op.u.virq = channel.other;
        break;
    case ChannelState::ipi:
        op.status = abi::EVTCHNSTAT_ipi;
        break;
    }
    op.vcpu = channel.vcpu;
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

Status bind_vcpu(Domain& domain, const abi::evtchn_bind_vcpu& op) {
    if (find_vcpu(domain, op.vcpu) == nullptr)
        return -abi::XEN_ENOENT;
    if (!port_exists(domain, op.port))
        return -abi::XEN_EINVAL;
    Channel& channel = domain.channels[op.port];
    const bool movable = channel.state == ChannelState::host || channel.state == ChannelState::self ||
                         channel.state == ChannelState::unbound ||
                         (channel.state == ChannelState::virq && virq_is_global(channel.other));
    if (!movable)
        return -abi::XEN_EINVAL;
    channel.vcpu = static_cast<u8>(op.vcpu);
    return 0;
}

/// A channel that is closed has no bits.
Status unmask(Domain& domain, u32 port) {
    if (!port_exists(domain, port))
        return -abi::XEN_EINVAL;
    if (domain.channels[port].state != ChannelState::closed)
        unmask_port(domain, {port});
    return 0;
}

Status set_priority(Domain& domain, const abi::evtchn_set_priority& op) {
    if (!port_exists(domain, op.port))
        return -abi::XEN_EINVAL;
    if (!domain.fifo.active)
        return -abi::XEN_ENOSYS;
    if (op.priority > abi::EVTCHN_FIFO_PRIORITY_MIN)
        return -abi::XEN_EINVAL;
    domain.channels[op.port].priority = op.priority & 0xf; // for its next event
    return 0;
}

bool any_open(const Domain& domain) {
    for (u32 port = 1; port < domain.ports_end; port++)
        if (domain.channels[port].state != ChannelState::closed)
            return true;
    return false;
}

/// Close every channel and go back to the 2-level ABI. `resumed`: by the command that continues it.
Status reset(Vcpu& vcpu, GuestVa arg, abi::domid_t dom, bool resumed) {
    Domain& domain = *vcpu.domain;
    if (!domain.is_self(dom))
        return refuse_domain(dom);
    if (resumed != (domain.next_reset != 0))
        return -abi::XEN_EBUSY;
    for (u32 port = resumed ? domain.next_reset : 1; port < domain.ports_end; port++) {
        if (domain.channels[port].state == ChannelState::closed)
            continue;
        (void)close_port(domain, port);
        if (preemption_due(vcpu)) {
            domain.next_reset = port;
            return continue_hypercall(vcpu, {EVTCHNOP_reset_cont, arg.address});
        }
    }
    domain.next_reset = 0;
    if (any_open(domain))
        return -abi::XEN_EAGAIN; // it was interrupted, and the guest opened some meanwhile
    if (domain.fifo.active)
        fifo_leave(vcpu);
    return 0;
}

Status init_control(Vcpu& vcpu, GuestVa arg) {
    abi::evtchn_init_control op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    if (const Status status = fifo_init_control(vcpu, op); status != 0)
        return status;
    op.link_bits = abi::EVTCHN_FIFO_LINK_BITS;
    return put(vcpu, arg, op) ? 0 : -abi::XEN_EFAULT;
}

/// Read the argument, then hand it on.
template <typename Op, typename Action>
Status with(Vcpu& vcpu, GuestVa arg, Action action) {
    Op op;
    return get(vcpu, op, arg) ? action(op) : -abi::XEN_EFAULT;
}

Status event_channel_op(Vcpu& vcpu, u64 command, GuestVa arg) {
    Domain& domain = *vcpu.domain;
    switch (command) {
    case abi::EVTCHNOP_alloc_unbound:
        return alloc_unbound(vcpu, arg);
    case abi::EVTCHNOP_bind_interdomain:
        return bind_interdomain(vcpu, arg);
    case abi::EVTCHNOP_bind_virq:
        return bind_virq(vcpu, arg);
    case abi::EVTCHNOP_bind_ipi:
        return bind_ipi(vcpu, arg);
    case abi::EVTCHNOP_bind_pirq:
        return bind_pirq(vcpu, arg);
    case abi::EVTCHNOP_close:
        return with<abi::evtchn_close>(vcpu, arg, [&](const auto& op) { return close_port(domain, op.port); });
    case abi::EVTCHNOP_send:
        return with<abi::evtchn_send>(vcpu, arg, [&](const auto& op) { return send(vcpu, op.port); });
    case abi::EVTCHNOP_status:
        return status(vcpu, arg);
    case abi::EVTCHNOP_bind_vcpu:
        return with<abi::evtchn_bind_vcpu>(vcpu, arg, [&](const auto& op) { return bind_vcpu(domain, op); });
    case abi::EVTCHNOP_unmask:
        return with<abi::evtchn_unmask>(vcpu, arg, [&](const auto& op) { return unmask(domain, op.port); });
    case abi::EVTCHNOP_reset:
    case EVTCHNOP_reset_cont:
        return with<abi::evtchn_reset>(
            vcpu, arg, [&](const auto& op) { return reset(vcpu, arg, op.dom, command == EVTCHNOP_reset_cont); });
    case abi::EVTCHNOP_init_control:
        return init_control(vcpu, arg);
    case abi::EVTCHNOP_expand_array:
        return with<abi::evtchn_expand_array>(vcpu, arg, [&](const auto& op) { return fifo_expand_array(vcpu, op); });
    case abi::EVTCHNOP_set_priority:
        return with<abi::evtchn_set_priority>(vcpu, arg, [&](const auto& op) { return set_priority(domain, op); });
    default:
        return -abi::XEN_ENOSYS;
    }
}

} // namespace

Status do_event_channel_op(Vcpu& vcpu, const HypercallArgs& args) {
    return event_channel_op(vcpu, static_cast<u32>(args.a[0]), {args.a[1]});
}

Status do_event_channel_op_compat(Vcpu& vcpu, const HypercallArgs& args) {
    u32 command = 0;
    if (!get(vcpu, command, {args.a[0]}))
        return -abi::XEN_EFAULT;
    if (command > abi::EVTCHNOP_unmask)
        return -abi::XEN_ENOSYS;
    return event_channel_op(vcpu, command, GuestVa{args.a[0]} + offsetof(abi::evtchn_op, u));
}

} // namespace parapet::nucleus
