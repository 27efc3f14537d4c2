// SPDX-License-Identifier: Apache-2.0
// Event channels: event_channel_op, virtual interrupts, the two-level and the FIFO queues.
// Source: xen/include/public/event_channel.h, xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned EVTCHNOP_bind_interdomain = 0;
inline constexpr unsigned EVTCHNOP_bind_virq = 1;
inline constexpr unsigned EVTCHNOP_bind_pirq = 2;
inline constexpr unsigned EVTCHNOP_close = 3;
inline constexpr unsigned EVTCHNOP_send = 4;
inline constexpr unsigned EVTCHNOP_status = 5;
inline constexpr unsigned EVTCHNOP_alloc_unbound = 6;
inline constexpr unsigned EVTCHNOP_bind_ipi = 7;
inline constexpr unsigned EVTCHNOP_bind_vcpu = 8;
inline constexpr unsigned EVTCHNOP_unmask = 9;
inline constexpr unsigned EVTCHNOP_reset = 10;
inline constexpr unsigned EVTCHNOP_init_control = 11;
inline constexpr unsigned EVTCHNOP_expand_array = 12;
inline constexpr unsigned EVTCHNOP_set_priority = 13;

// Virtual interrupts: V per vCPU, G one per domain.
inline constexpr unsigned VIRQ_TIMER = 0;
inline constexpr unsigned VIRQ_DEBUG = 1;
inline constexpr unsigned VIRQ_CONSOLE = 2;
inline constexpr unsigned VIRQ_DOM_EXC = 3;
inline constexpr unsigned VIRQ_TBUF = 4;
inline constexpr unsigned VIRQ_DEBUGGER = 6;
inline constexpr unsigned VIRQ_XENOPROF = 7;
inline constexpr unsigned VIRQ_CON_RING = 8;
inline constexpr unsigned VIRQ_PCPU_STATE = 9;
inline constexpr unsigned VIRQ_MEM_EVENT = 10;
inline constexpr unsigned VIRQ_ARGO = 11;
inline constexpr unsigned VIRQ_ENOMEM = 12;
inline constexpr unsigned VIRQ_XENPMU = 13;
inline constexpr unsigned VIRQ_ARCH_0 = 16;
inline constexpr unsigned VIRQ_ARCH_1 = 17;
inline constexpr unsigned VIRQ_ARCH_2 = 18;
inline constexpr unsigned VIRQ_ARCH_3 = 19;
inline constexpr unsigned VIRQ_ARCH_4 = 20;
inline constexpr unsigned VIRQ_ARCH_5 = 21;
inline constexpr unsigned VIRQ_ARCH_6 = 22;
inline constexpr unsigned VIRQ_ARCH_7 = 23;
inline constexpr unsigned NR_VIRQS = 24;

struct evtchn_alloc_unbound {
    domid_t dom;
    domid_t remote_dom;
    evtchn_port_t port; // out
};
static_assert(sizeof(evtchn_alloc_unbound) == 8);

struct evtchn_bind_interdomain {
    domid_t remote_dom;
    evtchn_port_t remote_port;
    evtchn_port_t local_port; // out
};
static_assert(sizeof(evtchn_bind_interdomain) == 12);

struct evtchn_bind_virq {
    uint32_t virq;
    uint32_t vcpu;
    evtchn_port_t port; // out
};
static_assert(sizeof(evtchn_bind_virq) == 12);

inline constexpr uint32_t BIND_PIRQ__WILL_SHARE = 1;

struct evtchn_bind_pirq {
    uint32_t pirq;
    uint32_t flags;     // BIND_PIRQ__*
    evtchn_port_t port; // out
};
static_assert(sizeof(evtchn_bind_pirq) == 12);

struct evtchn_bind_ipi {
    uint32_t vcpu;
    evtchn_port_t port; // out
};
static_assert(sizeof(evtchn_bind_ipi) == 8);

struct evtchn_close {
    evtchn_port_t port;
};
static_assert(sizeof(evtchn_close) == 4);

struct evtchn_send {
    evtchn_port_t port;
};
static_assert(sizeof(evtchn_send) == 4);

inline constexpr uint32_t EVTCHNSTAT_closed = 0;
inline constexpr uint32_t EVTCHNSTAT_unbound = 1;
inline constexpr uint32_t EVTCHNSTAT_interdomain = 2;
inline constexpr uint32_t EVTCHNSTAT_pirq = 3;
inline constexpr uint32_t EVTCHNSTAT_virq = 4;
inline constexpr uint32_t EVTCHNSTAT_ipi = 5;

struct evtchn_status {
    domid_t dom;
    evtchn_port_t port;
    uint32_t status; // out: EVTCHNSTAT_*
    uint32_t vcpu;   // out
    union {
        struct {
            domid_t dom;
        } unbound;
        struct {
            domid_t dom;
            evtchn_port_t port;
        } interdomain;
        uint32_t pirq;
        uint32_t virq;
    } u; // out
};
static_assert(sizeof(evtchn_status) == 24);

struct evtchn_bind_vcpu {
    evtchn_port_t port;
    uint32_t vcpu;
};
static_assert(sizeof(evtchn_bind_vcpu) == 8);

struct evtchn_unmask {
    evtchn_port_t port;
};
static_assert(sizeof(evtchn_unmask) == 4);

struct evtchn_reset {
    domid_t dom;
};
static_assert(sizeof(evtchn_reset) == 2);

struct evtchn_init_control {
    uint64_t control_gfn;
    uint32_t offset; // of the control block in its page, a multiple of 8
    uint32_t vcpu;
    uint8_t link_bits; // out
    uint8_t _pad[7];
};
static_assert(sizeof(evtchn_init_control) == 24);

struct evtchn_expand_array {
    uint64_t array_gfn;
};
static_assert(sizeof(evtchn_expand_array) == 8);

struct evtchn_set_priority {
    evtchn_port_t port;
    uint32_t priority;
};
static_assert(sizeof(evtchn_set_priority) == 8);

// Argument of the old HYPERVISOR_event_channel_op_compat.
struct evtchn_op {
    uint32_t cmd; // EVTCHNOP_*
    union {
        evtchn_alloc_unbound alloc_unbound;
        evtchn_bind_interdomain bind_interdomain;
        evtchn_bind_virq bind_virq;
        evtchn_bind_pirq bind_pirq;
        evtchn_bind_ipi bind_ipi;
        evtchn_close close;
        evtchn_send send;
        evtchn_status status;
        evtchn_bind_vcpu bind_vcpu;
        evtchn_unmask unmask;
    } u;
};
static_assert(sizeof(evtchn_op) == 28);

// Two-level queue: a word of words of bits.
template <typename W>
inline constexpr unsigned EVTCHN_2L_NR_CHANNELS = sizeof(W) * sizeof(W) * 64;

// FIFO queues: an event word holds these bit numbers and, below, the port of the next event in its queue.
inline constexpr unsigned EVTCHN_FIFO_PRIORITY_MAX = 0;
inline constexpr unsigned EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
inline constexpr unsigned EVTCHN_FIFO_PRIORITY_MIN = 15;
inline constexpr unsigned EVTCHN_FIFO_PENDING = 31;
inline constexpr unsigned EVTCHN_FIFO_MASKED = 30;
inline constexpr unsigned EVTCHN_FIFO_LINKED = 29;
inline constexpr unsigned EVTCHN_FIFO_BUSY = 28;
inline constexpr unsigned EVTCHN_FIFO_LINK_BITS = 17;
inline constexpr unsigned EVTCHN_FIFO_MAX_QUEUES = EVTCHN_FIFO_PRIORITY_MIN + 1;
inline constexpr unsigned EVTCHN_FIFO_LINK_MASK = (1u << EVTCHN_FIFO_LINK_BITS) - 1;
inline constexpr unsigned EVTCHN_FIFO_NR_CHANNELS = 1u << EVTCHN_FIFO_LINK_BITS;

struct evtchn_fifo_control_block {
    uint32_t ready; // a bit for each queue that is not empty
    uint32_t _rsvd;
    uint32_t head[EVTCHN_FIFO_MAX_QUEUES];
};
static_assert(sizeof(evtchn_fifo_control_block) == 72);

} // namespace parapet::abi
