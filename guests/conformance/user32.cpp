// SPDX-License-Identifier: Apache-2.0
// 32-bit user mode under a 64-bit kernel: its exceptions and its system calls, each with the exact frame.
#include <initializer_list>

#include "guests/conformance/check.hpp"
#include "guests/conformance/user_snippets.hpp"

#define PARAPET_PIECE32(name) extern char name[], name##_at[], name##_next[], name##_end[]
extern "C" {
PARAPET_PIECE32(user32_syscall);
PARAPET_PIECE32(user32_sysenter);
PARAPET_PIECE32(user32_sysenter_nt);
PARAPET_PIECE32(user32_int80);
PARAPET_PIECE32(user32_int14);
PARAPET_PIECE32(user32_divide);
PARAPET_PIECE32(user32_int3);
PARAPET_PIECE32(user32_into);
PARAPET_PIECE32(user32_bound);
PARAPET_PIECE32(user32_ud2);
PARAPET_PIECE32(user32_hlt);
PARAPET_PIECE32(user32_selector);
PARAPET_PIECE32(user32_read);
PARAPET_PIECE32(user32_write);
PARAPET_PIECE32(user32_port);
PARAPET_PIECE32(user32_step);
}

namespace parapet::guest {

const char* const test_name = "user32";

namespace {

constexpr uint64_t user_cs32 = 0xe023, user_ss = 0xe02b;
constexpr uint64_t flag_tf = 0x100, flag_if = 0x200, flag_df = 0x400, flag_iopl = 0x3000, flag_nt = 0x4000;

TrapFrame seen;
bool masked_inside;

void note(TrapFrame& frame) {
    seen = frame;
    masked_inside = events_masked();
    user_leave(1);
}

/// The frame of user32 code that was interrupted at `rip`, with an empty stack.
void expect_frame(unsigned vector, uint64_t code, const char* begin, const char* rip, const char* what) {
    const uint64_t at = user_code + static_cast<uint64_t>(rip - begin);
    expect(seen.vector == vector && seen.error_code == code, "%s: vector %lu code %lx, want %u code %lx", what,
           seen.vector, seen.error_code, vector, code);
    expect(seen.rip == at, "%s: rip %lx, want %lx", what, seen.rip, at);
    expect(seen.cs == user_cs32 && seen.ss == user_ss, "%s: cs %lx ss %lx", what, seen.cs, seen.ss);
    expect(seen.rsp == user_stack_top, "%s: rsp %lx", what, seen.rsp);
    expect((seen.rflags & (flag_if | flag_iopl | flag_nt)) == flag_if, "%s: rflags %lx", what, seen.rflags);
}

#define EXPECT32(name, argument, vector, code, where)                                                                  \
    do {                                                                                                               \
        seen = {};                                                                                                     \
        RUN_USER32(name, argument);                                                                                    \
        expect_frame(vector, code, name, where, #name);                                                                \
    } while (false)

void exceptions() {
    EXPECT32(user32_divide, 0, vector_de, 0, user32_divide_at);
    EXPECT32(user32_int3, 0, vector_bp, 0, user32_int3_next);
    EXPECT32(user32_into, 0, vector_of, 0, user32_into_next);
    EXPECT32(user32_bound, user_data, vector_br, 0, user32_bound_at);
    EXPECT32(user32_ud2, 0, vector_ud, 0, user32_ud2_at);
    EXPECT32(user32_hlt, 0, vector_gp, 0, user32_hlt_at);
    EXPECT32(user32_port, 0, vector_gp, 0, user32_port_at);
    EXPECT32(user32_selector, 0, vector_gp, 0x7f8, user32_selector_at);
    EXPECT32(user32_read, user_hole, vector_pf, 4, user32_read_at);
    expect(fault_address() == user_hole, "cr2 %lx", fault_address());
    EXPECT32(user32_write, user_code, vector_pf, 7, user32_write_at);
    EXPECT32(user32_step, 0, vector_db, 0, user32_step_next);
    expect((seen.rflags & flag_tf) != 0, "single step: rflags %lx", seen.rflags);
    seen = {};
    RUN_USER32(user32_int14, 0);
    // QEMU's emulator gives 16 n + 2 in long mode where a processor gives 8 n + 2.
    expect_frame(vector_gp, seen.error_code == 14 * 16 + 2 ? 14 * 16 + 2 : 14 * 8 + 2, user32_int14, user32_int14_at,
                 "int $14");
    EXPECT32(user32_int80, 0, vector_int80, 0, user32_int80_next);
    expect(seen.rax == 0x1234 && !masked_inside, "int $0x80: rax %lx, masked %d", seen.rax, masked_inside);
}

long register_callback(uint16_t type, uint16_t flags, const void* entry) {
    callback_register request{type, flags, address_of(entry)};
    return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, &request);
}

/// SYSCALL of compatibility code: an undefined instruction without a callback.
void by_syscall() {
    EXPECT32(user32_syscall, 0, vector_ud, 0, user32_syscall_at);
    expect_result(register_callback(CALLBACKTYPE_syscall32, 0, trap_stub_syscall32), 0, "syscall32, not masking");
    EXPECT32(user32_syscall, 0, vector_syscall32, 0, user32_syscall_next);
    expect(!masked_inside, "syscall32 masked events");
    expect(seen.rax == 0x1234 && seen.rbx == 0x1b && seen.rbp == 0x77, "syscall32: rax %lx rbx %lx rbp %lx", seen.rax,
           seen.rbx, seen.rbp);
    expect(seen.rcx == seen.rip, "syscall32: rcx %lx rip %lx", seen.rcx, seen.rip);
    expect((seen.rflags & flag_df) != 0, "syscall32: rflags %lx without DF", seen.rflags);
    // Events are masked as the callback of 64-bit SYSCALL says, whatever the flags of this one are.
    expect_result(register_callback(CALLBACKTYPE_syscall32, CALLBACKF_mask_events, trap_stub_syscall32), 0,
                  "syscall32, masking");
    EXPECT32(user32_syscall, 0, vector_syscall32, 0, user32_syscall_next);
    expect(!masked_inside, "syscall32 masked events, which the callback of SYSCALL does not");
    expect_result(register_callback(CALLBACKTYPE_syscall, CALLBACKF_mask_events, trap_stub_syscall), 0, "syscall");
    EXPECT32(user32_syscall, 0, vector_syscall32, 0, user32_syscall_next);
    expect(masked_inside, "syscall32 did not mask events, which the callback of SYSCALL does");
    callback_unregister gone{CALLBACKTYPE_syscall32, 0};
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &gone), -XEN_EINVAL,
                  "syscall32 cannot be unregistered");
}

/// A frame of SYSENTER, which does not tell where it came from.
void expect_sysenter_frame(unsigned vector, const char* what) {
    expect(seen.vector == vector && seen.error_code == 0, "%s: vector %lu code %lx", what, seen.vector,
           seen.error_code);
    expect(seen.rip == 0 && seen.rsp == 0, "%s: rip %lx rsp %lx", what, seen.rip, seen.rsp);
    expect(seen.cs == 3 && seen.ss == user_ss, "%s: cs %lx ss %lx", what, seen.cs, seen.ss);
    expect((seen.rflags & (flag_if | flag_iopl | flag_tf)) == flag_if, "%s: rflags %lx", what, seen.rflags);
}

/// SYSENTER enters the kernel where the processor has it in long mode: Intel's. AMD's fault at the instruction, and
/// QEMU's emulator of AMD's enters, or #GP where its registers were left at 0.
void by_sysenter() {
    seen = {};
    RUN_USER32(user32_sysenter, 0);
    const bool enters = seen.vector == vector_gp && seen.rip == 0;
    if (!enters) {
        expect_frame(seen.vector == vector_ud ? vector_ud : vector_gp, 0, user32_sysenter, user32_sysenter_at,
                     "sysenter");
    } else {
        expect_sysenter_frame(vector_gp, "sysenter without a callback");
    }
    print("info: sysenter %s\n", enters ? "enters the kernel" : "faults");
    expect_result(register_callback(CALLBACKTYPE_sysenter, 0, trap_stub_sysenter), 0, "sysenter, not masking");
    callback_unregister gone{CALLBACKTYPE_sysenter, 0};
    expect_result(hypercall(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &gone), -XEN_EINVAL,
                  "sysenter cannot be unregistered");
    expect_refused(register_callback(CALLBACKTYPE_sysenter, 0, reinterpret_cast<void*>(0x800000000000)),
                   "a non-canonical entry");
    expect_result(register_callback(CALLBACKTYPE_sysenter_deprecated, 0, trap_stub_sysenter), -XEN_ENOSYS,
                  "the deprecated number");
    if (!enters) {
        return;
    }
    RUN_USER32(user32_sysenter, 0);
    expect_sysenter_frame(vector_sysenter, "sysenter");
    expect(!masked_inside && seen.rax == 0x1234 && seen.rbx == 0x1b, "sysenter: masked %d rax %lx rbx %lx",
           masked_inside, seen.rax, seen.rbx);
    expect_result(register_callback(CALLBACKTYPE_sysenter, CALLBACKF_mask_events, trap_stub_sysenter), 0,
                  "sysenter, masking");
    RUN_USER32(user32_sysenter_nt, 0);
    expect_sysenter_frame(vector_sysenter, "sysenter with NT");
    expect(masked_inside && (seen.rflags & flag_nt) != 0, "sysenter with NT: masked %d rflags %lx", masked_inside,
           seen.rflags);
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode")) {
        return;
    }
    for (unsigned vector = 0; vector < vector_xm; ++vector) {
        set_trap_handler(vector, note);
    }
    for (const unsigned vector : {vector_int80, vector_syscall32, vector_sysenter}) {
        set_trap_handler(vector, note);
    }
    exceptions();
    by_syscall();
    by_sysenter();
}

} // namespace parapet::guest
