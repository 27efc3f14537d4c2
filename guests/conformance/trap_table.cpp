// SPDX-License-Identifier: Apache-2.0
// set_trap_table: privileges, the mask flag, clearing, bad pointers and addresses.
#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "trap_table";

namespace {

volatile bool masked_inside;
void note_mask(TrapFrame&) {
    masked_inside = events_masked();
}

} // namespace

void test() {
    set_trap_handler(vector_bp, note_mask);
    unmask_events();
    asm volatile("int3");
    expect(!masked_inside, "#BP masked events without the flag");
    trap_info_t table[3] = {{vector_bp, 3 | 4, FLAT_KERNEL_CS, address_of(trap_stubs) + 32 * vector_bp}, {}, {}};
    expect_result(hypercall(__HYPERVISOR_set_trap_table, table), 0, "one entry with the mask flag");
    asm volatile("int3");
    expect(masked_inside, "#BP with the flag did not mask events");
    expect(!events_masked(), "iret did not unmask them again");

    // One entry more does not disturb the others.
    expect_trap(catch_trap([] { asm volatile("ud2"); }), vector_ud, 0, "#UD after a partial table");
    table[0].address = 0x800000000000;
    expect_refused(hypercall(__HYPERVISOR_set_trap_table, table), "non-canonical handler");
    expect_result(hypercall(__HYPERVISOR_set_trap_table, 0x1000), -XEN_EFAULT, "bad pointer");
    asm volatile("int3");
    expect(!events_masked(), "the bad tables did something");

    // Null clears everything; then the same again.
    expect_result(hypercall(__HYPERVISOR_set_trap_table, nullptr), 0, "clear");
    traps_init();
    expect_trap(catch_trap([] { asm volatile("ud2"); }), vector_ud, 0, "#UD after clearing and setting");
}

} // namespace parapet::guest
