// SPDX-License-Identifier: Apache-2.0
// Port I/O: refused without IOPL; an unprivileged domain's probes read all ones or fault.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "ports_io";

void test() {
    const Caught got = catch_trap([] {
        uint8_t value;
        asm volatile("inb %1, %0" : "=a"(value) : "Nd"(static_cast<uint16_t>(0x80)));
    });
    print("info: inb from 0x80 at IOPL 0: vector %d\n", static_cast<int>(got.vector));
    expect(got.vector == no_trap || got.vector == vector_gp, "vector %d", static_cast<int>(got.vector));
    physdev_set_iopl iopl{1};
    expect_result(hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl), 0, "set_iopl 1");
    const Caught allowed = catch_trap([] {
        uint8_t value;
        asm volatile("inb %1, %0" : "=a"(value) : "Nd"(static_cast<uint16_t>(0x80)));
    });
    if (is_initial_domain()) {
        expect_trap(allowed, no_trap, 0, "inb at IOPL 1");
    } else {
        expect(allowed.vector == no_trap || allowed.vector == vector_gp, "vector %d", static_cast<int>(allowed.vector));
    }
    iopl.iopl = 4;
    expect_refused(hypercall(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &iopl), "set_iopl 4");
    expect_result(hypercall(__HYPERVISOR_physdev_op, 999, &iopl), -XEN_ENOSYS, "unknown physdev_op");
}

} // namespace parapet::guest
