// SPDX-License-Identifier: Apache-2.0
// 2-level event channels of vCPU 0; what is for both ABIs too. FIFO queues: fifo.hpp.
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

using EventHandler = void (*)(evtchn_port_t);

/// Takes every pending, unmasked event. Called by the event callback.
void events_dispatch();

/// Sets the handler of a port; null: events are counted and dropped.
void set_event_handler(evtchn_port_t port, EventHandler handler);
/// Upcalls taken, and events seen on a port, since the start.
[[nodiscard]] uint64_t upcall_count();
[[nodiscard]] uint64_t event_count(evtchn_port_t port);

/// Each returns a port, or -errno.
long bind_virq(unsigned virq);
long bind_ipi();
/// An unbound port and a second one bound to it: sending on the second raises the first.
struct Loop {
    long receive;
    long send;
};
Loop bind_loop();
long close_port(evtchn_port_t port);

void mask_port(evtchn_port_t port);
void clear_port(evtchn_port_t port);
[[nodiscard]] bool port_pending(evtchn_port_t port);
/// Unmasks through the hypervisor, which raises the upcall where the port is pending.
long unmask_port(evtchn_port_t port);
long notify_port(evtchn_port_t port);
/// A port that the host's backends may bind: the guest's end of a device's event channel.
long alloc_port(domid_t remote = 0);
/// Sleeps until the port is pending or system time is `until_ns`. Clear the port before you look at what it announces.
void wait_for_port(evtchn_port_t port, uint64_t until_ns);

/// The virtual interrupt flag. Unmasking takes what is pending at once.
void mask_events();
void unmask_events();
[[nodiscard]] bool events_masked();

} // namespace parapet::guest
