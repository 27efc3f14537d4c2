// SPDX-License-Identifier: Apache-2.0
// The FIFO event-channel ABI: queues (fifo_events.cpp) and their setup (fifo_setup.cpp); events.cpp decides which ABI a
// domain uses. The protocol is Xen's ("FIFO-based event channels", and public/event_channel.h).
//
//   control block of a vCPU                  event words, one for each port, in pages of the guest's
//   ready: a bit for each queue       head   port 9: P.L link=12   port 12: P.L link=3   port 3: P.L link=0
//   head[0..15] ───────────────────────────▶ ──────────────────▶ ───────────────────▶ ▲
//                                                                                     └ Vcpu::fifo_tail, the nucleus's
//
// The nucleus puts a port at the tail: it sets PENDING; if the port is not MASKED, LINKED; then LINK of the word before
// it, or the head where that one has been consumed. The guest takes ports from the head and clears LINKED, LINK and
// PENDING. BUSY in the last word keeps the guest from unmasking it while the nucleus links to it.
//
// The words are the guest's, which may write anything at any time. The nucleus reads no link, touches one event word
// and one tail for each event, and bounds its retries: what a guest does to its queues, it loses events by, no more.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

// ---- fifo_events.cpp ----

void fifo_set_pending(Domain& domain, Port port);
void fifo_clear_pending(Domain& domain, Port port);
void fifo_unmask(Domain& domain, Port port);
[[nodiscard]] bool fifo_is_pending(const Domain& domain, Port port);
/// Is the port on a queue? It is not opened again before the guest has taken it off.
[[nodiscard]] bool fifo_is_linked(const Domain& domain, Port port);

// ---- fifo_setup.cpp ----

[[nodiscard]] Status fifo_init_control(Vcpu& vcpu, const abi::evtchn_init_control& op);
[[nodiscard]] Status fifo_expand_array(Vcpu& vcpu, const abi::evtchn_expand_array& op);
/// Back to the 2-level ABI: the guest's pages are its own again. Precondition: every channel is closed.
void fifo_leave(Vcpu& vcpu);

// ---- events.cpp, for both ABIs ----

/// Set the vCPU's upcall flag, and end its block if that is news.
void mark_events_pending(Vcpu& target);
/// SCHEDOP_poll waits for masked ports as well.
void wake_pollers(Domain& domain, Port port);

} // namespace parapet::nucleus
