// SPDX-License-Identifier: Apache-2.0
// fpu_taskswitch: the first vector or x87 instruction after TS raises #NM once; ending it raises none.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "fpu_taskswitch";

namespace {

volatile unsigned raised = 0;
void on_nm(TrapFrame&) {
    raised = raised + 1; // TS is cleared by the delivery itself
}

void use_fpu() {
    asm volatile("fninit");
}

void use_sse() {
    asm volatile("xorps %xmm0, %xmm0");
}

} // namespace

void test() {
    set_trap_handler(vector_nm, on_nm);
    use_fpu();
    expect(raised == 0, "#NM before TS was set");
    expect_result(hypercall(__HYPERVISOR_fpu_taskswitch, 1), 0, "set");
    use_fpu();
    expect(raised == 1, "%u #NM after TS, want 1", raised);
    use_fpu();
    use_sse();
    expect(raised == 1, "TS was not cleared by #NM");
    expect_result(hypercall(__HYPERVISOR_fpu_taskswitch, 1), 0, "set");
    use_sse();
    expect(raised == 2, "no #NM for SSE");
    expect_result(hypercall(__HYPERVISOR_fpu_taskswitch, 1), 0, "set");
    expect_result(hypercall(__HYPERVISOR_fpu_taskswitch, 0), 0, "clear");
    use_fpu();
    expect(raised == 2, "#NM after TS was cleared");
    asm volatile("clts");
    use_fpu();
    expect(raised == 2, "#NM after clts");

    // State survives hypercalls.
    alignas(16) uint64_t in[2] = {0x1111222233334444, 0x5555666677778888};
    alignas(16) uint64_t out[2] = {};
    asm volatile("movups %0, %%xmm7" : : "m"(in));
    for (unsigned i = 0; i < 100; ++i) {
        sched_op(SCHEDOP_yield);
        xen_version(XENVER_version, nullptr);
    }
    asm volatile("movups %%xmm7, %0" : "=m"(out));
    expect(in[0] == out[0] && in[1] == out[1], "xmm7 became %lx %lx", out[0], out[1]);
}

} // namespace parapet::guest
