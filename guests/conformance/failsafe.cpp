// SPDX-License-Identifier: Apache-2.0
// The failsafe callback: a return to user mode that the processor refuses comes back to the kernel.
#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "failsafe";

namespace {

unsigned calls = 0;
TrapFrame seen;

void on_failsafe(TrapFrame& frame) {
    ++calls;
    seen = frame;
    user_leave(7);
}

void on_gp(TrapFrame& frame) {
    seen = frame;
    user_leave(13);
}

extern "C" uint64_t user_enter(uint64_t rip, uint64_t rsp, uint64_t rdi, uint64_t rsi);

} // namespace

void test() {
    expect_result(user_init(), 0, "user mode");
    set_trap_handler(vector_failsafe, on_failsafe);
    set_trap_handler(vector_gp, on_gp);
    set_trap_handler(vector_pf, on_gp);
    const uint64_t got = user_enter(0x800000000000, user_stack_top, 0, 0);
    print("info: iret to a non-canonical address: result %lu, vector %lu, rip %lx\n", got, seen.vector, seen.rip);
    expect(got == 7 || got == 13, "iret to a non-canonical address gave %lu", got);
    expect(RUN_USER(user_add_one, 1) == 2, "user mode after it");
}

} // namespace parapet::guest
