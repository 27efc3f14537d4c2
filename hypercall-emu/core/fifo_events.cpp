// SPDX-License-Identifier: Apache-2.0
// Queues of the FIFO event-channel ABI; drawn in fifo_events.hpp.
#include "hypercall-emu/core/fifo_events.hpp"

namespace parapet::nucleus {

namespace {

constexpr u32 PENDING = 1u << abi::EVTCHN_FIFO_PENDING;
constexpr u32 MASKED = 1u << abi::EVTCHN_FIFO_MASKED;
constexpr u32 LINKED = 1u << abi::EVTCHN_FIFO_LINKED;
constexpr u32 BUSY = 1u << abi::EVTCHN_FIFO_BUSY;

/// The port's event word; nullptr: the guest has not given its page yet.
u32* word_of(const Domain& domain, u32 port) {
    constexpr u32 PER_PAGE = FifoEvents::WORDS_PER_PAGE;
    if (port / PER_PAGE >= domain.fifo.nr_pages)
        return nullptr;
    return static_cast<u32*>(domain.machine->frame(Mfn{domain.fifo.pages[port / PER_PAGE]})) + port % PER_PAGE;
}

abi::evtchn_fifo_control_block& control_of(const Vcpu& vcpu) {
    return *reinterpret_cast<abi::evtchn_fifo_control_block*>(vcpu.domain->machine->directmap + vcpu.fifo_control);
}

bool test(const u32& word, u32 bit) {
    return (__atomic_load_n(&word, __ATOMIC_SEQ_CST) & bit) != 0;
}

bool test_and_set(u32& word, u32 bit) {
    return (__atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST) & bit) != 0;
}

void clear(u32& word, u32 bit) {
    __atomic_fetch_and(&word, ~bit, __ATOMIC_SEQ_CST);
}

enum class Link { done, consumed, contended };

/// Let the tail `word`, which held `seen`, point at `port` if it is still on its queue. BUSY goes with it.
Link try_link(u32& word, u32& seen, u32 port) {
    if ((seen & LINKED) == 0)
        return Link::consumed;
    const u32 linked = (seen & ~(BUSY | abi::EVTCHN_FIFO_LINK_MASK)) | port;
    return __atomic_compare_exchange_n(&word, &seen, linked, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
               ? Link::done
               : Link::contended;
}

/// Append `port` behind the tail `word`. False: the guest has consumed the tail, so the queue is empty.
bool append(u32& word, u32 port) {
    // While BUSY is set a guest that keeps the rules can only set MASKED and clear PENDING and LINKED, once each.
    constexpr unsigned MAX_TRIES = 4;
    u32 seen = __atomic_load_n(&word, __ATOMIC_SEQ_CST);
    Link link = try_link(word, seen, port);
    if (link == Link::contended) {
        seen = __atomic_or_fetch(&word, BUSY, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < MAX_TRIES && link == Link::contended; i++)
            link = try_link(word, seen, port);
        if (link != Link::done)
            clear(word, BUSY);
    }
    return link != Link::consumed; // still contended: this guest does not keep the rules, and loses the event
}

/// Put `port`, whose LINKED bit was clear and is set now, on the target's queue.
void enqueue(Domain& domain, Vcpu& target, u32 port) {
    Channel& channel = domain.channels[port];
    // As the tail of another queue it would tie that one to this.
    u32& last_tail = domain.vcpus[channel.last_vcpu]->fifo_tail[channel.last_priority];
    if (last_tail == port)
        last_tail = 0;
    channel.last_vcpu = channel.vcpu & 0x7f;
    channel.last_priority = channel.priority;

    u32& tail = target.fifo_tail[channel.priority];
    u32* tail_word = tail != 0 ? word_of(domain, tail) : nullptr;
    const bool appended = tail_word != nullptr && append(*tail_word, port);
    tail = port;
    if (appended)
        return;
    abi::evtchn_fifo_control_block& control = control_of(target);
    __atomic_store_n(&control.head[channel.priority], port, __ATOMIC_SEQ_CST);
    if (!test_and_set(control.ready, 1u << channel.priority))
        mark_events_pending(target);
}

} // namespace

void fifo_set_pending(Domain& domain, Port port) {
    Channel& channel = domain.channels[port.number];
    u32* word = word_of(domain, port.number);
    if (word == nullptr) {
        channel.pending = 1; // fifo_expand_array() takes it up
        return;
    }
    const bool was_pending = test_and_set(*word, PENDING);
    Vcpu* target = find_vcpu(domain, channel.vcpu);
    // Without a control block nothing may be unmasked yet, and an event is not queued.
    const bool has_queues = target != nullptr && target->fifo_control != 0;
    if (has_queues && !test(*word, MASKED) && !test_and_set(*word, LINKED))
        enqueue(domain, *target, port.number);
    if (!was_pending)
        wake_pollers(domain, port);
}

void fifo_clear_pending(Domain& domain, Port port) {
    domain.channels[port.number].pending = 0;
    if (u32* word = word_of(domain, port.number); word != nullptr)
        clear(*word, PENDING); // if it is on a queue the guest takes it off, and finds nothing to do
}

void fifo_unmask(Domain& domain, Port port) {
    u32* word = word_of(domain, port.number);
    if (word == nullptr)
        return;
    clear(*word, MASKED);
    if (test(*word, PENDING))
        fifo_set_pending(domain, port);
}

bool fifo_is_pending(const Domain& domain, Port port) {
    const u32* word = word_of(domain, port.number);
    return word != nullptr && test(*word, PENDING);
}

bool fifo_is_linked(const Domain& domain, Port port) {
    const u32* word = word_of(domain, port.number);
    return word != nullptr && test(*word, LINKED);
}

} // namespace parapet::nucleus
