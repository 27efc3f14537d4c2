// SPDX-License-Identifier: Apache-2.0
// Numbers without a hypercall are -ENOSYS; privileged hypercalls are refused to unprivileged domains.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "hypercall_numbers";

void test() {
    for (const unsigned number : {11u, 27u, 56u, 57u, 58u, 59u, 60u, 61u, 62u, 63u, 64u, 100u, 127u}) {
        const long got = hypercall(number);
        expect(got == -XEN_ENOSYS, "hypercall %u: %ld", number, got);
    }
    // Through the instruction itself, with numbers that have no slot in the page.
    for (const uint64_t number : {128ul, 1000ul, 0x7ffffffful, 0xfffffffful, 0x100000000ul + 1000, ~0ul}) {
        multicall_entry_t call{};
        call.op = number;
        expect_result(hypercall(__HYPERVISOR_multicall, &call, 1), 0, "multicall");
        expect(static_cast<long>(call.result) == -XEN_ENOSYS, "hypercall %lx: %ld", number,
               static_cast<long>(call.result));
    }
    if (!is_initial_domain()) {
        uint64_t block[32] = {};
        for (const unsigned number : {__HYPERVISOR_platform_op, __HYPERVISOR_domctl, __HYPERVISOR_sysctl}) {
            const long got = hypercall(number, block);
            expect(got == -XEN_EPERM || got == -XEN_EACCES || got == -XEN_ENOSYS, "privileged hypercall %u: %ld",
                   number, got);
        }
    }
    // Arguments registers are preserved where the ABI says so (rbx, rbp, r12-r15 by every caller's assumption).
    uint64_t ok = 0;
    asm volatile("movq $0x1b, %%rbx; movq $0x12, %%r12; movq $0x15, %%r15\n"
                 "xorl %%edi, %%edi; xorl %%esi, %%esi\n"
                 "call hypercall_page + 17 * 32\n"
                 "cmpq $0x1b, %%rbx; jne 1f; cmpq $0x12, %%r12; jne 1f; cmpq $0x15, %%r15; jne 1f\n"
                 "movq $1, %0\n"
                 "1:"
                 : "+m"(ok)
                 :
                 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r15", "memory", "cc");
    expect(ok == 1, "a hypercall changed rbx, r12 or r15");
}

} // namespace parapet::guest
