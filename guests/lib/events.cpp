// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/events.hpp"

#include "guests/lib/cpu.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"

namespace parapet::guest {

namespace {

constexpr unsigned word_bits = 64;
constexpr unsigned known_ports = 256; // guests bind a handful
EventHandler handlers[known_ports];
uint64_t counts[known_ports];
uint64_t upcalls = 0;

void take(evtchn_port_t port) {
    clear_port(port);
    if (port >= known_ports) {
        return;
    }
    ++counts[port];
    if (handlers[port] != nullptr) {
        handlers[port](port);
    }
}

} // namespace

void events_dispatch() {
    ++upcalls;
    vcpu_info_t& vcpu = this_vcpu();
    shared_info_t& shared = shared_info();
    while (__atomic_exchange_n(&vcpu.evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST) != 0) {
        uint64_t groups = __atomic_exchange_n(&vcpu.evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        for (; groups != 0; groups &= groups - 1) {
            const auto group = static_cast<unsigned>(__builtin_ctzl(groups));
            uint64_t ready = __atomic_load_n(&shared.evtchn_pending[group], __ATOMIC_SEQ_CST) &
                             ~__atomic_load_n(&shared.evtchn_mask[group], __ATOMIC_SEQ_CST);
            for (; ready != 0; ready &= ready - 1) {
                take(group * word_bits + static_cast<unsigned>(__builtin_ctzl(ready)));
            }
        }
    }
}

void set_event_handler(evtchn_port_t port, EventHandler handler) {
    if (port < known_ports) {
        handlers[port] = handler;
    }
}

uint64_t upcall_count() {
    return *const_cast<volatile uint64_t*>(&upcalls);
}

uint64_t event_count(evtchn_port_t port) {
    return port < known_ports ? *const_cast<volatile uint64_t*>(&counts[port]) : 0;
}

long bind_virq(unsigned virq) {
    evtchn_bind_virq request{};
    request.virq = virq;
    const long error = event_channel_op(EVTCHNOP_bind_virq, &request);
    return error != 0 ? error : request.port;
}

long bind_ipi() {
    evtchn_bind_ipi request{};
    const long error = event_channel_op(EVTCHNOP_bind_ipi, &request);
    return error != 0 ? error : request.port;
}

Loop bind_loop() {
    evtchn_alloc_unbound unbound{};
    unbound.dom = DOMID_SELF;
    unbound.remote_dom = DOMID_SELF;
    if (const long error = event_channel_op(EVTCHNOP_alloc_unbound, &unbound); error != 0) {
        return {error, error};
    }
    evtchn_bind_interdomain bound{};
    bound.remote_dom = DOMID_SELF;
    bound.remote_port = unbound.port;
    const long error = event_channel_op(EVTCHNOP_bind_interdomain, &bound);
    return {unbound.port, error != 0 ? error : bound.local_port};
}

long close_port(evtchn_port_t port) {
    set_event_handler(port, nullptr);
    evtchn_close request{port};
    return event_channel_op(EVTCHNOP_close, &request);
}

void mask_port(evtchn_port_t port) {
    __atomic_fetch_or(&shared_info().evtchn_mask[port / word_bits], 1ul << (port % word_bits), __ATOMIC_SEQ_CST);
}

void clear_port(evtchn_port_t port) {
    __atomic_fetch_and(&shared_info().evtchn_pending[port / word_bits], ~(1ul << (port % word_bits)), __ATOMIC_SEQ_CST);
}

bool port_pending(evtchn_port_t port) {
    const uint64_t word = __atomic_load_n(&shared_info().evtchn_pending[port / word_bits], __ATOMIC_SEQ_CST);
    return (word >> (port % word_bits) & 1) != 0;
}

long unmask_port(evtchn_port_t port) {
    evtchn_unmask request{port};
    return event_channel_op(EVTCHNOP_unmask, &request);
}

long notify_port(evtchn_port_t port) {
    evtchn_send request{port};
    return event_channel_op(EVTCHNOP_send, &request);
}

long alloc_port(domid_t remote) {
    evtchn_alloc_unbound request{};
    request.dom = DOMID_SELF;
    request.remote_dom = remote;
    const long error = event_channel_op(EVTCHNOP_alloc_unbound, &request);
    return error != 0 ? error : request.port;
}

void wait_for_port(evtchn_port_t port, uint64_t until_ns) {
    sched_poll poll{};
    set_xen_guest_handle(poll.ports, &port);
    poll.nr_ports = 1;
    poll.timeout = until_ns;
    if (sched_op(SCHEDOP_poll, &poll) != 0) {
        sched_op(SCHEDOP_yield);
    }
}

void mask_events() {
    __atomic_store_n(&this_vcpu().evtchn_upcall_mask, 1, __ATOMIC_SEQ_CST);
}

void unmask_events() {
    __atomic_store_n(&this_vcpu().evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
    // What became pending while masked raises no upcall by itself; a hypercall's return does.
    if (__atomic_load_n(&this_vcpu().evtchn_upcall_pending, __ATOMIC_SEQ_CST) != 0) {
        xen_version(XENVER_version, nullptr);
    }
}

bool events_masked() {
    return __atomic_load_n(&this_vcpu().evtchn_upcall_mask, __ATOMIC_SEQ_CST) != 0;
}

} // namespace parapet::guest
