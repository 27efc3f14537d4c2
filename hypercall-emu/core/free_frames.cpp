// SPDX-License-Identifier: Apache-2.0
// The list of free frames; see free_frames.hpp.
#include "hypercall-emu/core/free_frames.hpp"

#include "hypercall-emu/core/mm.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 NO_HEAD = ~0ULL;

u64 next_of(const Domain& domain, u64 number) {
    const u64 link = domain.frames[Mfn{number}].word & Frame::FREE_LINK_MASK;
    return link == Frame::FREE_END ? NO_HEAD : link;
}

void set_next(Domain& domain, u64 number, u64 next) {
    u64& word = domain.frames[Mfn{number}].word;
    word = (word & ~Frame::FREE_LINK_MASK) | (next & Frame::FREE_LINK_MASK);
}

void push(Domain& domain, Mfn mfn, u64 held) {
    Frame& frame = domain.frames[mfn];
    frame.word = held;
    frame.set_owner(FrameOwner::free);
    set_next(domain, mfn.number, domain.free_head);
    domain.free_head = mfn.number;
    domain.nr_free++;
}

bool is_held(const Domain& domain, u64 number) {
    return domain.frames[Mfn{number}].is(Frame::FREE_HELD);
}

/// Ask the host for the memory of the frames in the request block. False: it refuses.
bool reclaim(Domain& domain, u32 count) {
    return count == 0 || domain.machine->request(doorbell::Request::reclaim, count) >= 0;
}

/// Is [first, first + count) free?
bool all_free(const Domain& domain, u64 first, u64 count) {
    for (u64 number = first; number < first + count; number++) {
        if (domain.frames[Mfn{number}].owner() != FrameOwner::free)
            return false;
    }
    return true;
}

/// Hold every frame of [first, first + count). False: the host refuses; some may be held.
bool hold_range(Domain& domain, u64 first, u64 count) {
    u64* listed = domain.machine->mailbox->request.frames;
    u32 batch = 0;
    for (u64 number = first; number < first + count; number++) {
        if (is_held(domain, number))
            continue;
        domain.frames[Mfn{number}].word |= Frame::FREE_HELD;
        listed[batch++] = number;
        if (batch == doorbell::REQUEST_FRAMES) {
            if (!reclaim(domain, batch))
                return false;
            batch = 0;
        }
    }
    return reclaim(domain, batch);
}

/// Take [first, first + count) off the list, wherever its frames stand in it.
void unlink_range(Domain& domain, u64 first, u64 count) {
    u64 left = count;
    u64 previous = NO_HEAD;
    for (u64 number = domain.free_head; number != NO_HEAD && left != 0;) {
        const u64 next = next_of(domain, number);
        if (number - first >= count) {
            previous = number;
        } else {
            left--;
            if (previous == NO_HEAD)
                domain.free_head = next;
            else
                set_next(domain, previous, next);
        }
        number = next;
    }
    domain.nr_free -= count - left;
}

u64 find_range(const Domain& domain, u64 count, u64 limit) {
    const u64 end = min_of(limit, domain.frames.count());
    for (u64 first = 0; first + count <= end; first += count) {
        if (all_free(domain, first, count))
            return first;
    }
    return NO_HEAD;
}

} // namespace

void add_free_frame(Domain& domain, Mfn mfn) {
    domain.m2p[mfn.number] = INVALID_M2P;
    push(domain, mfn, 0);
}

bool is_disposable(const Domain& domain, Mfn mfn) {
    return domain.frames.domain_owns(mfn) && domain.frames[mfn].references() == 0 &&
           domain.frames[mfn].type_count() == 0;
}

bool put_free_frame(Domain& domain, Mfn mfn) {
    if (!is_disposable(domain, mfn))
        return false;
    Frame& frame = domain.frames[mfn];
    frame.set_owner(FrameOwner::free); // first, so that the host begins no use after we looked
    if (host_writes(domain, mfn)) {
        frame.set_owner(FrameOwner::domain);
        return false;
    }
    push(domain, mfn, Frame::FREE_HELD);
    return true;
}

void release_held_frames(Domain& domain) {
    u64* listed = domain.machine->mailbox->request.frames;
    u64 number = domain.free_head;
    while (number != NO_HEAD && is_held(domain, number)) {
        u32 batch = 0;
        for (; batch < doorbell::REQUEST_FRAMES && number != NO_HEAD && is_held(domain, number); batch++) {
            domain.frames[Mfn{number}].word &= ~Frame::FREE_HELD;
            listed[batch] = number;
            number = next_of(domain, number);
        }
        flush_stale_tlbs(domain);
        (void)domain.machine->request(doorbell::Request::release,
                                      batch); // if the host would not, it keeps backing them
        domain.machine->mailbox->counters.frames_released += batch;
    }
}

void hold_free_frames(Domain& domain, u64 count) {
    u64* listed = domain.machine->mailbox->request.frames;
    u32 batch = 0;
    u64 number = domain.free_head;
    for (u64 i = 0; i < count && number != NO_HEAD && batch < doorbell::REQUEST_FRAMES; i++) {
        if (!is_held(domain, number))
            listed[batch++] = number;
        number = next_of(domain, number);
    }
    if (!reclaim(domain, batch))
        return; // taking one will find out again
    number = domain.free_head;
    for (u32 held = 0; held < batch; number = next_of(domain, number)) {
        if (!is_held(domain, number)) {
            domain.frames[Mfn{number}].word |= Frame::FREE_HELD;
            held++;
        }
    }
}

Mfn take_free_frames(Domain& domain, unsigned order, u64 limit) {
    const u64 count = 1ULL << order;
    const bool any_will_do = order == 0 && limit >= domain.frames.count();
    const u64 first = any_will_do ? domain.free_head : find_range(domain, count, limit);
    if (first == NO_HEAD)
        return NO_MFN;
    if (!hold_range(domain, first, count)) {
        for (u64 number = first; number < first + count; number++)
            domain.frames[Mfn{number}].word &= ~Frame::FREE_HELD;
        return NO_MFN;
    }
    unlink_range(domain, first, count);
    for (u64 number = first; number < first + count; number++) {
        Frame& frame = domain.frames[Mfn{number}];
        frame.word = 0;
        frame.set_owner(FrameOwner::domain);
    }
    return {first};
}

} // namespace parapet::nucleus
