// SPDX-License-Identifier: Apache-2.0
// NMIs that a vCPU sends itself: taken on return from the hypercall, whatever is masked; one at a time until iret; lost
// without a handler; the ways to register one.
#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "nmi";

namespace {

volatile unsigned taken = 0, nested = 0;
volatile bool again = false, masked_inside = false, frame_masked = false;

long send_nmi() {
    return vcpu_op(VCPUOP_send_nmi, 0, nullptr);
}

void on_nmi(TrapFrame& frame) {
    taken = taken + 1;
    masked_inside = events_masked();
    frame_masked = frame.events_were_masked();
    if (again) {
        again = false;
        const unsigned before = taken;
        expect_result(send_nmi(), 0, "send_nmi in its handler");
        nested = taken - before;
    }
}

long register_nmi(const void* entry) {
    xennmi_callback request{};
    request.handler_address = address_of(entry);
    return hypercall(__HYPERVISOR_nmi_op, XENNMI_register_callback, &request);
}

} // namespace

void test() {
    set_trap_handler(vector_nmi, on_nmi);
    expect_refused(vcpu_op(VCPUOP_send_nmi, 4095, nullptr), "send_nmi to vCPU 4095");
    expect_result(vcpu_op(VCPUOP_send_nmi, 0, const_cast<unsigned*>(&nested)), -XEN_EINVAL,
                  "send_nmi with an argument");
    expect(taken == 0, "a refused send_nmi was delivered");

    expect_result(hypercall(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0), 0, "unregister");
    expect_result(send_nmi(), 0, "send_nmi without a handler");
    expect_result(register_nmi(trap_stubs + 2ul * trap_stub_size), 0, "register");
    xen_version(XENVER_version, nullptr);
    expect(taken == 0, "an NMI without a handler was kept for one");

    expect_result(send_nmi(), 0, "send_nmi with events masked");
    expect(taken == 1 && masked_inside && frame_masked, "taken %u, inside masked %d, frame masked %d", taken,
           masked_inside, frame_masked);
    unmask_events();
    expect_result(send_nmi(), 0, "send_nmi with events unmasked");
    expect(taken == 2 && masked_inside && !frame_masked, "taken %u, inside masked %d, frame masked %d", taken,
           masked_inside, frame_masked);
    expect(!events_masked(), "the NMI left events masked");

    again = true;
    expect_result(send_nmi(), 0, "send_nmi");
    expect(nested == 0, "an NMI in the handler of one");
    expect(taken == 4, "%u NMIs of the two that were sent", taken - 2);

    multicall_entry_t calls[2] = {};
    calls[0].op = __HYPERVISOR_vcpu_op;
    calls[0].args[0] = VCPUOP_send_nmi;
    calls[1].op = __HYPERVISOR_xen_version;
    calls[1].result = 0x5555;
    expect_result(hypercall(__HYPERVISOR_multicall, calls, 2), 0, "multicall");
    expect(taken == 5 && calls[0].result == 0, "taken %u by a multicall, result %lx", taken - 4, calls[0].result);

    expect_refused(register_nmi(reinterpret_cast<void*>(0x800000000000)), "a handler that is not canonical");
    expect_result(hypercall(__HYPERVISOR_nmi_op, XENNMI_register_callback, 0x1000), -XEN_EFAULT, "bad pointer");
    expect_result(hypercall(__HYPERVISOR_nmi_op, 77, 0), -XEN_ENOSYS, "unknown operation");
}

} // namespace parapet::guest
