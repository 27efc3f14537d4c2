// SPDX-License-Identifier: Apache-2.0
// XENMEM_exchange: the domain swaps frames for others of another extent order, chunk by chunk.
//
// A chunk is the larger of the two extents: some extents in, some out, as many frames. Its frames go to the free list,
// and the new ones are taken from there, so that neighbours may join; if there are none, the old ones come back.
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/memory_op.hpp"
#include "pv-abi/memory.hpp"

namespace parapet::nucleus {

namespace {

/// One direction of the exchange.
struct Side {
    GuestVa list;
    unsigned order;
    u64 per_chunk; ///< extents
    [[nodiscard]] GuestVa at(u64 index) const { return list + index * sizeof(u64); }
};

/// Back to the domain with the last `count` frames that went to the free list.
void undo(Domain& domain, u64 count) {
    while (count-- > 0)
        (void)take_free_frames(domain, 0, domain.frames.count());
}

/// Put the chunk's frames on the free list. `count`: how many are there, also on failure.
Status give(Vcpu& vcpu, const Side& in, u64 chunk, u64& count) {
    Domain& domain = *vcpu.domain;
    for (u64 i = 0; i < in.per_chunk; i++) {
        u64 first = 0;
        if (!get(vcpu, first, in.at(chunk * in.per_chunk + i)))
            return -abi::XEN_EFAULT;
        for (u64 j = 0; j < 1ULL << in.order; j++) {
            if (!put_free_frame(domain, Mfn{first + j}))
                return -abi::XEN_EINVAL;
            count++;
        }
    }
    return 0;
}

/// The m2p entries of the given frames still speak; silence those that are free now.
void forget(Domain& domain, u64 count) {
    u64 number = domain.free_head;
    while (count-- > 0 && number != ~0ULL && domain.frames[Mfn{number}].is(Frame::FREE_HELD)) {
        domain.m2p[number] = INVALID_M2P;
        const u64 link = domain.frames[Mfn{number}].word & Frame::FREE_LINK_MASK;
        number = link == Frame::FREE_END ? ~0ULL : link;
    }
}

/// Can the guest be told the new frame numbers? Asked before anything changes, so that no frame goes astray.
bool can_tell(Vcpu& vcpu, const Side& out, u64 chunk) {
    for (u64 i = 0; i < out.per_chunk; i++) {
        const GuestVa entry = out.at(chunk * out.per_chunk + i);
        u64 pfn = 0;
        if (!get(vcpu, pfn, entry) || !put(vcpu, entry, pfn))
            return false;
    }
    return true;
}

Status exchange_chunk(Vcpu& vcpu, const Side& in, const Side& out, u64 limit, u64 chunk) {
    Domain& domain = *vcpu.domain;
    if (!can_tell(vcpu, out, chunk))
        return -abi::XEN_EFAULT;
    u64 given = 0;
    bool told = true;
    const Status status = give(vcpu, in, chunk, given);
    if (status != 0) {
        undo(domain, given);
        return status;
    }
    for (u64 i = 0; i < out.per_chunk; i++) {
        const Mfn first = take_free_frames(domain, out.order, limit);
        if (first == NO_MFN) { // the first of them only: the caller sees to that
            undo(domain, given);
            return -abi::XEN_ENOMEM;
        }
        // From here on the chunk is done, whatever another processor did to the list since can_tell(): the
        // machine-to-physical table still knows the frame by the guest's number.
        const GuestVa entry = out.at(chunk * out.per_chunk + i);
        u64 pfn = INVALID_M2P;
        told = get(vcpu, pfn, entry) && told;
        for (u64 j = 0; j < 1ULL << out.order; j++)
            domain.m2p[first.number + j] = pfn == INVALID_M2P ? INVALID_M2P : pfn + j;
        told = put(vcpu, entry, first.number) && told;
    }
    forget(domain, given);
    release_held_frames(domain);
    return told ? 0 : -abi::XEN_EFAULT;
}

Status check(const Domain& domain, const abi::xen_memory_exchange64& op) {
    const bool sane = op.nr_exchanged <= op.in.nr_extents && op.in.domid == op.out.domid && op.in.extent_order <= 20 &&
                      op.out.extent_order <= 20 && op.in.nr_extents <= ~0ULL >> op.in.extent_order &&
                      op.out.nr_extents <= ~0ULL >> op.out.extent_order &&
                      op.in.nr_extents << op.in.extent_order == op.out.nr_extents << op.out.extent_order;
    if (!sane)
        return -abi::XEN_EINVAL;
    if (op.in.extent_order > MAX_EXTENT_ORDER || op.out.extent_order > MAX_EXTENT_ORDER)
        return -abi::XEN_EPERM;
    return domain.is_self(op.in.domid) ? 0 : other_domain(op.in.domid);
}

} // namespace

Status exchange_memory(Vcpu& vcpu, const HypercallArgs& args) {
    Domain& domain = *vcpu.domain;
    const GuestVa arg{args.a[1]};
    abi::xen_memory_exchange64 op;
    if (!get(vcpu, op, arg))
        return -abi::XEN_EFAULT;
    Status status = check(domain, op);
    const u64 limit = frame_limit(domain, op.out.mem_flags);
    const unsigned in_order = op.in.extent_order;
    const unsigned out_order = op.out.extent_order;
    // Splitting large extents under an address limit could fail half-way: not offered.
    if (status == 0 && (limit == 0 || (in_order > out_order && limit < domain.frames.count())))
        status = limit == 0 ? -abi::XEN_EINVAL : -abi::XEN_ENOMEM;
    if (status != 0)
        return status;

    const unsigned in_chunk_order = out_order > in_order ? out_order - in_order : 0;
    const Side in{{op.in.extent_start}, in_order, 1ULL << in_chunk_order};
    const Side out{{op.out.extent_start}, out_order, in_order > out_order ? 1ULL << (in_order - out_order) : 1};
    const u64 chunks = op.in.nr_extents >> in_chunk_order;
    const u64 first = op.nr_exchanged >> in_chunk_order;
    u64 chunk = first;
    bool stopped = false;
    for (; chunk < chunks && status == 0 && !stopped;) {
        stopped = chunk != first && preemption_due(vcpu);
        if (!stopped && (status = exchange_chunk(vcpu, in, out, limit, chunk)) == 0)
            chunk++;
    }
    const u64 exchanged = chunk << in_chunk_order;
    if (!put(vcpu, arg + offsetof(abi::xen_memory_exchange64, nr_exchanged), exchanged))
        return -abi::XEN_EFAULT;
    return stopped ? continue_hypercall(vcpu, {args.a[0], args.a[1]}) : status;
}

} // namespace parapet::nucleus
