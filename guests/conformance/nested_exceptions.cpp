// SPDX-License-Identifier: Apache-2.0
// A handler that faults itself, three deep, and returns to each level with all registers intact.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "nested_exceptions";

namespace {

unsigned depth = 0;
unsigned deepest = 0;
uint64_t seen_cr2[3];

void raise() {
    asm volatile("ud2");
}

void on_ud(TrapFrame& frame) {
    frame.rip += 2;
    asm volatile("int3");
    ++depth;
}

void on_bp(TrapFrame&) {
    uint64_t loaded;
    const uint64_t address = 0x5000;
    asm volatile("movq (%1), %0" : "=a"(loaded) : "b"(address));
    expect(loaded == 0x1122334455667788, "the page-fault handler's rax did not arrive: %lx", loaded);
    ++depth;
}

void on_pf(TrapFrame& frame) {
    seen_cr2[0] = fault_address();
    frame.rip += 3; // movq (%rbx), %rax
    frame.rax = 0x1122334455667788;
    deepest = depth + 3;
    ++depth;
}

} // namespace

void test() {
    set_trap_handler(vector_ud, on_ud);
    set_trap_handler(vector_bp, on_bp);
    set_trap_handler(vector_pf, on_pf);
    uint64_t r8 = 8;
    uint64_t r15 = 15;
    uint64_t rcx = 0xccc;
    uint64_t r11 = 0xb11;
    asm volatile("movq %0, %%r8; movq %1, %%r15; movq %2, %%rcx; movq %3, %%r11\n"
                 "stc\n"
                 "ud2\n"
                 "movq %%r8, %0; movq %%r15, %1; movq %%rcx, %2; movq %%r11, %3\n"
                 : "+m"(r8), "+m"(r15), "+m"(rcx), "+m"(r11)
                 :
                 : "r8", "r15", "rcx", "r11", "memory", "cc");
    expect(depth == 3 && deepest == 3, "%u handlers ran", depth);
    expect(seen_cr2[0] == 0x5000, "cr2 was %lx", seen_cr2[0]);
    expect(r8 == 8 && r15 == 15 && rcx == 0xccc && r11 == 0xb11, "registers: r8 %lx r15 %lx rcx %lx r11 %lx", r8, r15,
           rcx, r11);
    for (unsigned i = 0; i < 1000; ++i) {
        raise();
    }
    expect(depth == 3 * 1001, "%u handlers ran after a thousand more", depth);
}

} // namespace parapet::guest
