// SPDX-License-Identifier: Apache-2.0
// callback_op and set_callbacks: registering, masking events on a system call, unknown types.
#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "callbacks";

namespace {

volatile bool masked_in_syscall;
volatile bool frame_was_masked;

void on_syscall(TrapFrame& frame) {
    masked_in_syscall = events_masked();
    frame_was_masked = frame.events_were_masked();
    user_leave(frame.rdi);
}

long register_callback(uint16_t type, uint16_t flags, const void* entry) {
    callback_register request{type, flags, address_of(entry)};
    return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request);
}

} // namespace

void test() {
    expect_result(user_init(), 0, "user mode");
    set_trap_handler(vector_syscall, on_syscall);
    unmask_events();
    expect_result(register_callback(CALLBACKTYPE_syscall, 0, trap_stub_syscall), 0, "syscall, not masking");
    expect(RUN_USER(user_add_one, 1) == 2, "syscall through the callback");
    expect(!masked_in_syscall && !frame_was_masked, "events masked by an unmasking callback");
    expect_result(register_callback(CALLBACKTYPE_syscall, CALLBACKF_mask_events, trap_stub_syscall), 0, "masking");
    unmask_events();
    expect(RUN_USER(user_add_one, 1) == 2, "syscall through the masking callback");
    expect(masked_in_syscall && !frame_was_masked, "inside masked %d, frame masked %d", masked_in_syscall,
           frame_was_masked);
    unmask_events();

    expect_result(register_callback(77, 0, trap_stub_syscall), -XEN_ENOSYS, "unknown type");
    expect_refused(register_callback(CALLBACKTYPE_syscall, 0, reinterpret_cast<void*>(0x800000000000)),
                   "non-canonical entry");
    expect_result(hypercall(__HYPERVISOR_callback_op, 77, 0), -XEN_ENOSYS, "unknown operation");
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, 0x1000), -XEN_EFAULT, "bad pointer");
    callback_unregister gone{CALLBACKTYPE_event, 0};
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &gone), -XEN_EINVAL,
                  "the event callback cannot go");

    // The old way sets all three.
    expect_result(hypercall(__HYPERVISOR_set_callbacks, trap_stub_event, trap_stub_failsafe, user_syscall_entry), 0,
                  "set_callbacks");
    expect(RUN_USER(user_add_one, 5) == 6, "syscall after set_callbacks");
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(port);
    notify_port(port);
    expect(event_count(port) == 1, "event after set_callbacks");
    // A bad address is refused, or (Xen) passed over; it must not become the callback.
    const long bad = hypercall(__HYPERVISOR_set_callbacks, 0x800000000000, trap_stub_failsafe, user_syscall_entry);
    print("info: set_callbacks with a non-canonical entry: %ld\n", bad);
}

} // namespace parapet::guest
