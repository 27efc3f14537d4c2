// SPDX-License-Identifier: Apache-2.0
// Debug registers: set and read back, breakpoints in the kernel, forbidden bits and addresses.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "debug_registers";

namespace {

volatile uint64_t watched;
volatile unsigned hits = 0;
volatile uint64_t dr6_seen = 0;

void on_db(TrapFrame&) {
    hits = hits + 1;
    dr6_seen = static_cast<uint64_t>(hypercall(__HYPERVISOR_get_debugreg, 6));
}

long set(unsigned number, uint64_t value) {
    return hypercall(__HYPERVISOR_set_debugreg, number, value);
}

} // namespace

void test() {
    set_trap_handler(vector_db, on_db);
    for (unsigned i = 0; i < 4; ++i) {
        expect_result(set(i, address_of(&watched)), 0, "set an address");
        expect_result(hypercall(__HYPERVISOR_get_debugreg, i), static_cast<long>(address_of(&watched)), "get it");
    }
    expect_refused(set(0, HYPERVISOR_VIRT_START), "an address of the hypervisor");
    expect_refused(set(0, 0x800000000000), "a non-canonical address");
    expect_refused(set(7, 0x2000 | 0x401), "GD in dr7");
    expect_refused(set(7, 0x20000 | 0x401), "an I/O breakpoint in dr7");
    expect_refused(set(99, 0), "debug register 99");
    expect_result(set(7, 0), 0, "none enabled");
    watched = 1;
    expect(hits == 0, "a hit with nothing enabled");
    // Breakpoint 0: local, 8-byte write.
    expect_result(set(7, 0x400 | 1 | 0x90000), 0, "enable");
    watched = 2;
    expect(hits == 1, "%u hits of a data breakpoint, want 1", hits);
    expect((dr6_seen & 1) != 0, "dr6 is %lx", dr6_seen);
    expect_result(set(7, 0), 0, "disable");
    watched = 3;
    expect(hits == 1, "a hit after disabling");
}

} // namespace parapet::guest
