// SPDX-License-Identifier: Apache-2.0
// Event delivery: the 2-level ABI, with its pending bits in shared_info; and the mailbox that brings the vmm's events.
// The FIFO ABI, for domains that have gone over to it, is in fifo_events.cpp.
//
//   pending bit of the port --not masked--> word bit in the vCPU's pending_sel --> upcall_pending --> kick
//
// The guest changes the same words at the same time, from any vCPU: every access is atomic, and a step is taken only
// by whoever set the bit before it.
#include "hypercall-emu/core/fifo_events.hpp"
#include "hypercall-emu/core/services.hpp"

namespace parapet::nucleus {
namespace {

constexpr unsigned BITS = 64;

constexpr u64 bit_of(Port port) {
    return 1ULL << (port.number % BITS);
}

bool test_and_set(u64& word, u64 bit) {
    return (__atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST) & bit) != 0;
}

void notice(Vcpu& target, unsigned word) {
    if (!test_and_set(target.info64().evtchn_pending_sel, 1ULL << word))
        mark_events_pending(target);
}

bool pending_2l(const Domain& domain, Port port) {
    return (__atomic_load_n(&domain.shared->evtchn_pending[port.number / BITS], __ATOMIC_SEQ_CST) & bit_of(port)) != 0;
}

void open_host_channel(Domain& domain, u32 port) {
    if (port != 0 && port < abi::EVTCHN_2L_NR_CHANNELS<u64>)
        open_channel(domain, {port}, ChannelState::host, 0, port);
}

} // namespace

/// Precondition: the domain is zeroed; every upcall mask is set.
void init_events(Domain& domain) {
    domain.first_free_port = 1;
    domain.ports_end = PORTS_GRAIN;
    domain.machine->mailbox->port_rows = 1;
    open_host_channel(domain, domain.boot->domain.store_port);
    open_host_channel(domain, domain.boot->domain.console_port);
}

void kick(Vcpu& vcpu) {
    Machine& machine = *vcpu.domain->machine;
    __atomic_store_n(&vcpu.kicked, true, __ATOMIC_SEQ_CST);
    if (vcpu.domain->nr_vcpus == 1 || machine.vcpu == &vcpu)
        handle_wake(vcpu); // it is the one that runs this code
    else
        machine.wake(vcpu.id);
}

void open_channel(Domain& domain, Port port, ChannelState state, u32 vcpu, u32 other) {
    Channel& channel = domain.channels[port.number]; // last_vcpu and last_priority stay: it may be a queue's tail
    channel.state = state;
    channel.vcpu = static_cast<u8>(vcpu);
    channel.priority = abi::EVTCHN_FIFO_PRIORITY_DEFAULT;
    channel.pending = 0;
    channel.other = other;
    if (port.number < domain.ports_end)
        return;
    domain.ports_end = (port.number / PORTS_GRAIN + 1) * PORTS_GRAIN;
    const u32 rows = (domain.ports_end + doorbell::PORT_ROW - 1) / doorbell::PORT_ROW;
    __atomic_store_n(&domain.machine->mailbox->port_rows, rows, __ATOMIC_RELEASE);
}

void mark_events_pending(Vcpu& target) {
    if (__atomic_exchange_n(&target.info64().evtchn_upcall_pending, uint8_t{1}, __ATOMIC_SEQ_CST) == 0)
        kick(target);
}

void wake_pollers(Domain& domain, Port port) {
    for (u32 id = 0; id < domain.nr_vcpus; id++) {
        Vcpu* vcpu = domain.vcpus[id];
        if (vcpu != nullptr && vcpu->poll_wait && (vcpu->poll_port == 0 || vcpu->poll_port == port.number))
            kick(*vcpu);
    }
}

void set_port_pending(Domain& domain, Port port) {
    if (domain.fifo.active) {
        fifo_set_pending(domain, port);
        return;
    }
    const unsigned word = port.number / BITS;
    abi::shared_info64& shared = *domain.shared;
    if (test_and_set(shared.evtchn_pending[word], bit_of(port)))
        return;
    Vcpu* target = find_vcpu(domain, domain.channels[port.number].vcpu);
    if (target != nullptr && (__atomic_load_n(&shared.evtchn_mask[word], __ATOMIC_SEQ_CST) & bit_of(port)) == 0)
        notice(*target, word);
    wake_pollers(domain, port);
}

void clear_port_pending(Domain& domain, Port port) {
    if (domain.fifo.active)
        fifo_clear_pending(domain, port);
    else
        __atomic_fetch_and(&domain.shared->evtchn_pending[port.number / BITS], ~bit_of(port), __ATOMIC_SEQ_CST);
}

bool port_is_pending(const Domain& domain, Port port) {
    return domain.fifo.active ? fifo_is_pending(domain, port) : pending_2l(domain, port);
}

void unmask_port(Domain& domain, Port port) {
    if (domain.fifo.active) {
        fifo_unmask(domain, port);
        return;
    }
    const unsigned word = port.number / BITS;
    const u64 before = __atomic_fetch_and(&domain.shared->evtchn_mask[word], ~bit_of(port), __ATOMIC_SEQ_CST);
    Vcpu* target = find_vcpu(domain, domain.channels[port.number].vcpu);
    if ((before & bit_of(port)) != 0 && target != nullptr && pending_2l(domain, port))
        notice(*target, word);
}

bool virq_is_global(unsigned virq) {
    return virq != abi::VIRQ_TIMER && virq != abi::VIRQ_DEBUG && virq != abi::VIRQ_XENOPROF && virq != abi::VIRQ_XENPMU;
}

void raise_virq(Vcpu& vcpu, unsigned virq) {
    Domain& domain = *vcpu.domain;
    if (virq >= abi::NR_VIRQS)
        return;
    const u32 port = domain.virq_port[virq_is_global(virq) ? 0 : vcpu.id][virq];
    if (port != 0)
        set_port_pending(domain, {port});
}

/// Take the bits of one word of the mailbox.
static void take_word(Domain& domain, unsigned word) {
    u64& bitmap = domain.machine->mailbox->to_nucleus.word[word];
    u64 bits = __atomic_load_n(&bitmap, __ATOMIC_RELAXED) == 0 ? 0 : __atomic_exchange_n(&bitmap, 0, __ATOMIC_SEQ_CST);
    while (bits != 0) {
        const u32 port = word * BITS + static_cast<u32>(__builtin_ctzll(bits));
        bits &= bits - 1;
        // A port that the guest closed meanwhile, or reused for something else, is not the vmm's any more.
        if (domain.channels[port].state == ChannelState::host)
            set_port_pending(domain, {port});
    }
}

void take_mailbox(Domain& domain) {
    constexpr unsigned WORDS_PER_ROW = doorbell::PORT_ROW / BITS;
    u64 selected = __atomic_exchange_n(&domain.machine->mailbox->to_nucleus.selector, 0, __ATOMIC_SEQ_CST);
    while (selected != 0) {
        const unsigned first = static_cast<unsigned>(__builtin_ctzll(selected));
        selected &= selected - 1;
        for (unsigned word = first; word * BITS < domain.ports_end || word == first; word += WORDS_PER_ROW)
            take_word(domain, word);
    }
}

bool event_deliverable(const Vcpu& vcpu) {
    const u64 pending =
        __atomic_load_n(&vcpu.info[offsetof(abi::vcpu_info64, evtchn_upcall_pending)], __ATOMIC_SEQ_CST);
    const u64 masked = __atomic_load_n(&vcpu.info[offsetof(abi::vcpu_info64, evtchn_upcall_mask)], __ATOMIC_SEQ_CST);
    return pending != 0 && masked == 0;
}

} // namespace parapet::nucleus
