// SPDX-License-Identifier: Apache-2.0
// EVTCHNOP_*: opening, binding, closing and signalling event channels.
//
// The only other domain is domain 0, whose part the vmm plays: a channel offered to it is connected at once
// (ChannelState::host). A channel to any other domain stays unbound for ever.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {
namespace {

/// Xen's numbers for a domain that was given no interrupt: below this it is refused, from this on it does not exist.
constexpr u32 NR_PIRQS = 256;

/// Why a request about another domain fails: domain 0 exists but is not ours to ask about.
Status refuse_domain(abi::domid_t id) {
    return id == 0 ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

/// Lowest closed port from 1 on, or 0.
u32 free_port(const Domain& domain) {
    for (u32 port = 1; port < NR_CHANNELS; port++)
        if (domain.channels[port].state == ChannelState::closed)
            return port;
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
    domain.channels[port] = {.state = state, .virq = 0, .remote_domain = remote, .vcpu = 0, .remote_port = port};
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
    if (op.remote_port >= NR_CHANNELS)
        return -abi::XEN_EINVAL;
    Channel& remote = domain.channels[op.remote_port];
    if (remote.state != ChannelState::unbound || remote.remote_domain != domain.domid)
        return -abi::XEN_EINVAL;
    op.local_port = port;
    if (!put(vcpu, arg, op))
        return -abi::XEN_EFAULT;
    remote.state = ChannelState::self;
    remote.remote_port = port;
    domain.channels[port] = {.state = ChannelState::self,
                             .virq = 0,
                             .remote_domain = static_cast<u16>(domain.domid),
                             .vcpu = 0,
                             .remote_port = op.remote_port};
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
    domain.channels[port] = {.state = ChannelState::virq,
                             .virq = static_cast<u8>(op.virq),
                             .remote_domain = 0,
                             .vcpu = op.vcpu,
                             .remote_port = 0};
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
    domain.channels[port] = {
        .state = ChannelState::ipi, .virq = 0, .remote_domain = 0, .vcpu = op.vcpu, .remote_port = 0};
    return 0;
}

Status bind_pirq(Vcpu& vcpu, GuestVa arg) {
    abi::evtchn_bind_pirq op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    return op.pirq < NR_PIRQS ? -abi::XEN_EPERM : -abi::XEN_EINVAL;
}

Status close_port(Domain& domain, u32 port) {
    if (port >= NR_CHANNELS)
        return -abi::XEN_EINVAL;
    Channel& channel = domain.channels[port];
    const Channel closing = channel;
    if (closing.state == ChannelState::closed)
        return -abi::XEN_EINVAL;
    channel = {};
    clear_port_pending(domain, {port});
    switch (closing.state) {
    case ChannelState::self:
        domain.channels[closing.remote_port].state = ChannelState::unbound;
        break;
    case ChannelState::virq:
        domain.virq_port[virq_is_global(closing.virq) ? 0 : closing.vcpu][closing.virq] = 0;
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
    __atomic_fetch_or(&bitmap.selector, 1ULL << (port / 64), __ATOMIC_SEQ_CST);
    vcpu.work.flags |= ExitWork::DOORBELL;
}

Status send(Vcpu& vcpu, u32 port) {
    Domain& domain = *vcpu.domain;
    if (port >= NR_CHANNELS)
        return -abi::XEN_EINVAL;
    const Channel& channel = domain.channels[port];
    switch (channel.state) {
    case ChannelState::host:
        notify_host(vcpu, port);
        return 0;
    case ChannelState::self:
        set_port_pending(domain, {channel.remote_port});
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
    if (op.port >= NR_CHANNELS)
        return -abi::XEN_EINVAL;
    const Channel& channel = domain.channels[op.port];
    switch (channel.state) {
    case ChannelState::closed:
        op.status = abi::EVTCHNSTAT_closed;
        break;
    case ChannelState::unbound:
        op.status = abi::EVTCHNSTAT_unbound;
        op.u.unbound.dom = channel.remote_domain;
        break;
    case ChannelState::host:
    case ChannelState::self:
        op.status = abi::EVTCHNSTAT_interdomain;
        op.u.interdomain.dom = channel.remote_domain;
        op.u.interdomain.port = channel.remote_port;
        break;
    case ChannelState::virq:
        op.status = abi::EVTCHNSTAT_virq;
        op.u.virq = channel.virq;
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
    if (op.port >= NR_CHANNELS)
        return -abi::XEN_EINVAL;
    Channel& channel = domain.channels[op.port];
    const bool movable = channel.state == ChannelState::host || channel.state == ChannelState::self ||
                         channel.state == ChannelState::unbound ||
                         (channel.state == ChannelState::virq && virq_is_global(channel.virq));
    if (!movable)
        return -abi::XEN_EINVAL;
    channel.vcpu = op.vcpu;
    return 0;
}

Status reset(Domain& domain, abi::domid_t dom) {
    if (!domain.is_self(dom))
        return refuse_domain(dom);
    for (u32 port = 1; port < NR_CHANNELS; port++)
        if (domain.channels[port].state != ChannelState::closed)
            (void)close_port(domain, port);
    return 0;
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
        return with<abi::evtchn_unmask>(vcpu, arg, [&](const auto& op) -> Status {
            if (op.port >= NR_CHANNELS)
                return -abi::XEN_EINVAL;
            unmask_port(domain, {op.port});
            return 0;
        });
    case abi::EVTCHNOP_reset:
        return with<abi::evtchn_reset>(vcpu, arg, [&](const auto& op) { return reset(domain, op.dom); });
    default: // the FIFO ABI's commands among them: guests fall back to the 2-level ABI
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
