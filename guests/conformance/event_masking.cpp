// SPDX-License-Identifier: Apache-2.0
// Events: global mask, port mask, the mask in frames, no upcall while one runs.
#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "event_masking";

namespace {

evtchn_port_t port;
evtchn_port_t second;
volatile bool masked_inside = false;
unsigned nested_upcalls = 0;

void on_first(evtchn_port_t) {
    masked_inside = events_masked();
    const uint64_t before = upcall_count();
    notify_port(second);
    nested_upcalls += static_cast<unsigned>(upcall_count() - before);
}

volatile bool frame_masked = false;
void on_bp(TrapFrame& frame) {
    frame_masked = frame.events_were_masked();
}

} // namespace

void test() {
    port = static_cast<evtchn_port_t>(bind_ipi());
    second = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(port);
    unmask_port(second);
    set_trap_handler(vector_bp, on_bp);

    notify_port(port);
    expect(port_pending(port) && event_count(port) == 0, "masked globally: pending %d taken %lu", port_pending(port),
           event_count(port));
    expect(this_vcpu().evtchn_upcall_pending != 0, "evtchn_upcall_pending is not set");
    asm volatile("int3");
    expect(frame_masked, "the frame does not say that events were masked");
    unmask_events();
    expect(event_count(port) == 1, "unmasking did not deliver");
    expect(!events_masked(), "the upcall left events masked");
    asm volatile("int3");
    expect(!frame_masked, "the frame says that events were masked");
    expect(!events_masked(), "the exception changed the mask");

    set_event_handler(port, on_first);
    notify_port(port);
    expect(masked_inside, "events are not masked in the upcall");
    expect(nested_upcalls == 0, "an upcall in the upcall");
    expect(event_count(second) == 1, "the event sent in the upcall was not taken after it");
    set_event_handler(port, nullptr);

    mask_port(port);
    const uint64_t before = event_count(port);
    notify_port(port);
    expect(port_pending(port) && event_count(port) == before, "a masked port was delivered");
    expect_result(unmask_port(port), 0, "unmask");
    expect(event_count(port) == before + 1, "unmasking a pending port did not deliver");
    // Twice pending is once delivered.
    mask_events();
    notify_port(port);
    notify_port(port);
    unmask_events();
    expect(event_count(port) == before + 2, "two sends gave %lu events", event_count(port) - before - 1);
    // Ports that are pending stay so under the mask bit even when the selector was consumed.
    expect(this_vcpu().evtchn_pending_sel == 0, "pending_sel is %lx when all is taken", this_vcpu().evtchn_pending_sel);

    // Into user mode too.
    expect_result(user_init(), 0, "user mode");
    const uint64_t count = event_count(port);
    mask_events();
    notify_port(port);
    *static_cast<volatile uint64_t*>(user_data_page()) = 5;
    expect(RUN_USER(user_spin, user_data) == 5, "user code after an event");
    expect(event_count(port) == count + 1, "the event was not delivered on the way to user mode");
}

} // namespace parapet::guest
