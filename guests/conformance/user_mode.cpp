// SPDX-License-Identifier: Apache-2.0
// User mode: entry by iret, system calls, its faults seen by the kernel, its address space.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "user_mode";

namespace {

constexpr uint64_t skipped = 0x5ca1ab1e;
TrapFrame last;
unsigned traps = 0;
uint64_t instruction_size = 0;

/// Notes the trap and goes on behind the instruction.
void note_trap(TrapFrame& frame) {
    last = frame;
    ++traps;
    frame.rip += instruction_size;
}

void expect_user_trap(unsigned vector, uint64_t code, uint64_t rip_offset, const char* what) {
    expect(traps == 1, "%s: %u traps", what, traps);
    expect(last.vector == vector && last.error_code == code, "%s: vector %lu code %lx", what, last.vector,
           last.error_code);
    expect(last.rip == user_code + rip_offset, "%s: rip %lx", what, last.rip);
    expect(last.from_user(), "%s: cs %lx is not user mode's", what, last.cs);
    expect((last.ss & 3) == 3, "%s: ss %lx", what, last.ss);
    expect(last.rsp == user_stack_top, "%s: rsp %lx", what, last.rsp);
    traps = 0;
}

void page_faults() {
    instruction_size = 3;
    expect(RUN_USER(user_read, user_hole) == skipped, "read of a hole");
    expect_user_trap(vector_pf, 4, 0, "read of a hole");
    expect(fault_address() == user_hole, "cr2 %lx", fault_address());
    expect(RUN_USER(user_write, user_code) == skipped, "write to the code page");
    expect_user_trap(vector_pf, 7, 0, "write to the code page");
    // The kernel is not in the user's root at all.
    expect(RUN_USER(user_read, virt_base + 0x100000) == skipped, "read of the kernel");
    expect_user_trap(vector_pf, 4, 0, "read of the kernel");
    expect(RUN_USER(user_read, HYPERVISOR_VIRT_END - 8) == skipped, "read of the hypervisor's space");
    expect(last.vector == vector_pf, "read of the hypervisor's space: vector %lu", last.vector);
    traps = 0;
    expect(RUN_USER(user_read, user_data) == skipped && traps == 0, "read of the data page");
    expect(RUN_USER(user_write, user_data, 42) == skipped && traps == 0, "write of the data page");
    expect(*static_cast<volatile uint64_t*>(user_data_page()) == 42, "the kernel does not see the write");
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode")) {
        return;
    }
    for (const unsigned vector : {vector_pf, vector_ud, vector_bp, vector_gp, vector_int80}) {
        set_trap_handler(vector, note_trap);
    }
    expect(RUN_USER(user_add_one, 41) == 42, "a value through user mode");
    const uint64_t changed = RUN_USER(user_syscall_registers, 0);
    expect(changed == 0, "registers changed by a system call: bits %lx", changed);
    page_faults();
    instruction_size = 2;
    expect(RUN_USER(user_ud2, 0) == skipped, "ud2");
    expect_user_trap(vector_ud, 0, 0, "ud2");
    instruction_size = 0;
    expect(RUN_USER(user_int3, 0) == skipped, "int3");
    expect_user_trap(vector_bp, 0, 1, "int3");
    expect(RUN_USER(user_int80, 0) == skipped, "int 0x80");
    expect(last.rax == 0x1234, "int 0x80: rax %lx", last.rax);
    expect_user_trap(vector_int80, 0, 7, "int 0x80");
    instruction_size = 2;
    expect(RUN_USER(user_int14, 0) == skipped, "int 14");
    const uint64_t code = last.error_code == 14 * 16 + 2 ? 14 * 16 + 2 : 14 * 8 + 2; // QEMU's emulator: 16 n + 2
    expect_user_trap(vector_gp, code, 0, "int 14");
    instruction_size = 1;
    expect(RUN_USER(user_cli, 0) == skipped, "cli");
    expect_user_trap(vector_gp, 0, 0, "cli");
}

} // namespace parapet::guest
