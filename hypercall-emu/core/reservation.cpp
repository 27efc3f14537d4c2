// SPDX-License-Identifier: Apache-2.0
// memory_op: the balloon. Extents are done one by one; the result is how many are done, whatever stopped the rest.
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/memory_op.hpp"
#include "pv-abi/memory.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 MAX_EXTENTS = ~0U >> abi::MEMOP_EXTENT_SHIFT; // more would not fit the continuation
constexpr u64 LOOK_EVERY = 64;                              // extents between two looks at pending events

struct Extents {
    GuestVa list; ///< address 0: none
    u64 count;
    unsigned order;
    u64 limit;

    [[nodiscard]] u64 frames() const { return 1ULL << order; }
    [[nodiscard]] GuestVa at(u64 index) const { return list + index * sizeof(u64); }
};

/// Take frames for one extent into the domain.
Mfn grow(Domain& domain, const Extents& extents) {
    if (domain.nr_pages + extents.frames() > domain.max_pages)
        return NO_MFN;
    const Mfn first = take_free_frames(domain, extents.order, extents.limit);
    if (first != NO_MFN)
        owns(domain, domain.nr_pages + extents.frames());
    return first;
}

/// Tell the guest the extent's first frame. Where that cannot be done the frames go back: nobody would know of them.
bool report(Vcpu& vcpu, const Extents& extents, u64 index, Mfn first) {
    if (put(vcpu, extents.at(index), first.number))
        return true;
    Domain& domain = *vcpu.domain;
    for (u64 i = 0; i < extents.frames(); i++) {
        const Mfn mfn{first.number + i};
        if (put_free_frame(domain, mfn)) {
            domain.m2p[mfn.number] = INVALID_M2P;
            owns(domain, domain.nr_pages - 1);
        }
    }
    return false;
}

bool increase_one(Vcpu& vcpu, const Extents& extents, u64 index) {
    const Mfn first = grow(*vcpu.domain, extents);
    if (first == NO_MFN)
        return false;
    return extents.list.address == 0 || report(vcpu, extents, index, first);
}

bool populate_one(Vcpu& vcpu, const Extents& extents, u64 index) {
    u64 pfn = 0;
    if (!get(vcpu, pfn, extents.at(index)))
        return false;
    const Mfn first = grow(*vcpu.domain, extents);
    if (first == NO_MFN)
        return false;
    for (u64 i = 0; i < extents.frames(); i++)
        vcpu.domain->m2p[first.number + i] = pfn + i;
    return report(vcpu, extents, index, first);
}

bool decrease_one(Vcpu& vcpu, const Extents& extents, u64 index) {
    Domain& domain = *vcpu.domain;
    u64 first = 0;
    if (!get(vcpu, first, extents.at(index)))
        return false;
    for (u64 i = 0; i < extents.frames(); i++) {
        const Mfn mfn{first + i};
        if (!put_free_frame(domain, mfn))
            return false;
        domain.m2p[mfn.number] = INVALID_M2P;
        owns(domain, domain.nr_pages - 1);
    }
    return true;
}

bool one_extent(Vcpu& vcpu, unsigned command, const Extents& extents, u64 index) {
    switch (command) {
    case abi::XENMEM_increase_reservation:
        return increase_one(vcpu, extents, index);
    case abi::XENMEM_decrease_reservation:
        return decrease_one(vcpu, extents, index);
    default:
        return populate_one(vcpu, extents, index);
    }
}

} // namespace

u64 frame_limit(const Domain& domain, u32 mem_flags) {
    const u32 bits = abi::XENMEMF_get_address_bits(mem_flags);
    if (bits == 0 || bits >= 64)
        return domain.frames.count();
    return bits <= PAGE_SHIFT ? 0 : min_of<u64>(1ULL << (bits - PAGE_SHIFT), domain.frames.count());
}

Status change_reservation(Vcpu& vcpu, const HypercallArgs& args) {
    Domain& domain = *vcpu.domain;
    const auto command = static_cast<unsigned>(args.a[0] & abi::MEMOP_CMD_MASK);
    u64 done = args.a[0] >> abi::MEMOP_EXTENT_SHIFT;
    const auto start = static_cast<Status>(done);

    abi::xen_memory_reservation64 wanted;
    if (!get(vcpu, wanted, GuestVa{args.a[1]}) || wanted.nr_extents > MAX_EXTENTS || done >= wanted.nr_extents)
        return start;
    if (!domain.is_self(wanted.domid))
        return start;
    const Extents extents{
        {wanted.extent_start}, wanted.nr_extents, wanted.extent_order, frame_limit(domain, wanted.mem_flags)};
    if (extents.order > MAX_EXTENT_ORDER || extents.limit == 0)
        return start;

    const bool taking = command != abi::XENMEM_decrease_reservation;
    bool stopped = false;
    for (u64 round = 1; done < extents.count && !stopped; round++) {
        if (taking && extents.order == 0 && round % doorbell::REQUEST_FRAMES == 1) {
            const u64 room = domain.max_pages - min_of(domain.nr_pages, domain.max_pages);
            hold_free_frames(domain, min_of(extents.count - done, room));
        }
        if (!one_extent(vcpu, command, extents, done))
            break;
        done++;
        if (!taking && round % doorbell::REQUEST_FRAMES == 0)
            release_held_frames(domain);
        stopped = round % LOOK_EVERY == 0 && done < extents.count && preemption_due(vcpu);
    }
    release_held_frames(domain);
    if (stopped)
        return continue_hypercall(vcpu, {command | (done << abi::MEMOP_EXTENT_SHIFT), args.a[1]});
    return static_cast<Status>(done);
}

} // namespace parapet::nucleus
