// SPDX-License-Identifier: Apache-2.0
// Exceptions, events and system calls of the guest kernel: registers saved by the stubs in traps.S, a handler per
// vector.
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

inline constexpr unsigned vector_de = 0, vector_db = 1, vector_nmi = 2, vector_bp = 3, vector_of = 4, vector_br = 5,
                          vector_ud = 6, vector_nm = 7, vector_df = 8, vector_ts = 10, vector_np = 11, vector_ss = 12,
                          vector_gp = 13, vector_pf = 14, vector_mf = 16, vector_ac = 17, vector_mc = 18,
                          vector_xm = 19;
inline constexpr unsigned vector_int80 = 0x80;
/// Pseudo-vectors of the callbacks.
inline constexpr unsigned vector_event = 256, vector_failsafe = 257, vector_syscall = 258, vector_syscall32 = 259,
                          vector_sysenter = 260;
inline constexpr unsigned vector_count = 261;

/// What a handler sees and may change. Layout shared with traps.S.
struct TrapFrame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector;
    uint64_t error_code; ///< 0 where the vector has none
    uint64_t rip;
    uint64_t cs; ///< bits 32..39: the event mask as it was (64-bit ABI)
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;

    [[nodiscard]] bool from_user() const { return (cs & 3) != 0; }
    [[nodiscard]] bool events_were_masked() const { return ((cs >> 32) & 0xff) != 0; }
};
static_assert(sizeof(TrapFrame) == 22 * 8);

using TrapHandler = void (*)(TrapFrame&);

/// Distance of the entry stubs (trap_stubs).
inline constexpr uint64_t trap_stub_size = 32;

/// Registers the trap table and callbacks; unhandled traps print a report and crash the domain.
void traps_init();

/// Sets the handler of a vector; null for the report. Returns the one before.
TrapHandler set_trap_handler(unsigned vector, TrapHandler handler);

/// Fills the trap table for set_trap_table: all vectors, or those that `table` can hold. Ends with a zero entry.
unsigned default_trap_table(trap_info_t* table, unsigned capacity);

/// The address that the last page fault touched.
[[nodiscard]] uint64_t fault_address();

void print_frame(const TrapFrame& frame);

/// What became of running one instruction (or a few) under guard.
struct Caught {
    unsigned vector = ~0u; ///< ~0 when nothing was raised
    uint64_t error_code = 0;
    uint64_t cr2 = 0;
    uint64_t rip = 0;
    [[nodiscard]] bool nothing() const { return vector == ~0u; }
};

/// Runs `body`; any exception in it ends it and is reported. Not to be nested; `body` must not own anything.
Caught catch_trap(void (*body)(void*), void* argument);

template <typename Body>
Caught catch_trap(Body body) {
    return catch_trap([](void* opaque) { (*static_cast<Body*>(opaque))(); }, &body);
}

} // namespace parapet::guest

extern "C" {
/// Entry stubs, one per vector, `trap_stub_size` bytes apart.
extern char trap_stubs[];
extern char trap_stub_int80[], trap_stub_event[], trap_stub_failsafe[], trap_stub_syscall[], trap_stub_syscall32[],
    trap_stub_sysenter[];
/// Saves the callee-saved state in a jump buffer and calls body(argument); traps.cpp unwinds to its end.
void guarded_call(void (*body)(void*), void* argument, uint64_t* saved_rsp);
extern char guarded_call_end[];
}
