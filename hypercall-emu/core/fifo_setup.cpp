// SPDX-License-Identifier: Apache-2.0
// From the 2-level to the FIFO event-channel ABI and back: EVTCHNOP_init_control, expand_array, reset.
//
// Control blocks and event words lie in pages of the guest's, each held by a reference and a writable type reference
// until the domain goes back: so they can be no page table, and are not given away.
#include "hypercall-emu/core/fifo_events.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {

namespace {

/// Ports that the 2-level ABI made pending stay so, each until its event word is there.
void take_over_pending(Domain& domain) {
    for (u32 port = 1; port < domain.ports_end; port++) {
        Channel& channel = domain.channels[port];
        channel.pending = channel.state != ChannelState::closed && port_is_pending(domain, {port}) ? 1 : 0;
        channel.priority = abi::EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
}

} // namespace

Status fifo_init_control(Vcpu& vcpu, const abi::evtchn_init_control& op) {
    Domain& domain = *vcpu.domain;
    Vcpu* target = find_vcpu(domain, op.vcpu);
    if (target == nullptr)
        return -abi::XEN_ENOENT;
    if (op.offset > PAGE_SIZE - sizeof(abi::evtchn_fifo_control_block) || op.offset % sizeof(u64) != 0)
        return -abi::XEN_EINVAL;
    const Mfn mfn{op.control_gfn};
    if (target->fifo_control != 0 || acquire_type(vcpu, mfn, FrameType::writable) != 0)
        return -abi::XEN_EINVAL;
    if (!domain.fifo.active) {
        take_over_pending(domain);
        domain.fifo.active = true;
    }
    target->fifo_control = mfn.address() + op.offset;
    return 0;
}

Status fifo_expand_array(Vcpu& vcpu, const abi::evtchn_expand_array& op) {
    Domain& domain = *vcpu.domain;
    FifoEvents& fifo = domain.fifo;
    if (!fifo.active)
        return -abi::XEN_EOPNOTSUPP;
    if (fifo.nr_pages == FifoEvents::MAX_PAGES)
        return -abi::XEN_ENOSPC;
    if (acquire_type(vcpu, Mfn{op.array_gfn}, FrameType::writable) != 0)
        return -abi::XEN_EINVAL;
    const u32 first = fifo.nr_pages * FifoEvents::WORDS_PER_PAGE;
    fifo.pages[fifo.nr_pages++] = op.array_gfn;
    const u32 end = min_of(first + FifoEvents::WORDS_PER_PAGE, domain.ports_end);
    for (u32 port = first; port < end; port++) {
        if (domain.channels[port].pending != 0) {
            domain.channels[port].pending = 0;
            fifo_set_pending(domain, {port});
        }
    }
    return 0;
}

void fifo_leave(Vcpu& vcpu) {
    Domain& domain = *vcpu.domain;
    for (u32 id = 0; id < domain.nr_vcpus; id++) {
        Vcpu& other = *domain.vcpus[id];
        if (other.fifo_control != 0)
            release_type(vcpu, Mfn{other.fifo_control >> PAGE_SHIFT}, FrameType::writable);
        other.fifo_control = 0;
        fill_bytes(other.fifo_tail, 0, sizeof(other.fifo_tail));
    }
    for (u32 i = 0; i < domain.fifo.nr_pages; i++)
        release_type(vcpu, Mfn{domain.fifo.pages[i]}, FrameType::writable);
    domain.fifo.nr_pages = 0;
    domain.fifo.active = false;
}

} // namespace parapet::nucleus
