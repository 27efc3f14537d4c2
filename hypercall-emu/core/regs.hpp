// SPDX-License-Identifier: Apache-2.0
// The guest's registers as the entry stubs store them.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

/// Lowest address first: the stubs push from `ss` (by the processor) down to `r15`.
struct Regs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 vector; ///< processor vector, or a Vector:: pseudo vector
    u64 error;
    u64 rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(Regs) == 22 * 8);

/// Causes of an entry beyond the processor's vectors 0-255.
namespace vector {
inline constexpr u64 SYSCALL = 0x100;   ///< SYSCALL instruction: a hypercall in kernel mode, a system call in user mode
inline constexpr u64 WAKE = 0x101;      ///< the vCPU blocked and an interrupt came
inline constexpr u64 FAILSAFE = 0x102;  ///< the processor refused the frame that was to be returned to the guest
inline constexpr u64 START = 0x103;     ///< first entry of this vCPU
inline constexpr u64 SYSCALL32 = 0x104; ///< SYSCALL of 32-bit code in user mode
inline constexpr u64 RETURNED = 0x105;  ///< nothing but to return to the guest, events first
} // namespace vector

namespace rflags {
inline constexpr u64 CF = 1 << 0, TF = 1 << 8, IF = 1 << 9, DF = 1 << 10, IOPL = 3 << 12, NT = 1 << 14, RF = 1 << 16,
                     VM = 1 << 17, AC = 1 << 18, VIF = 1 << 19, VIP = 1 << 20, FIXED = 1 << 1;
/// What a program may set by popf: CF, PF, AF, ZF, SF, TF, DF, OF, NT, AC, ID.
inline constexpr u64 PROGRAM = 0x8d5 | TF | DF | NT | AC | 1 << 21;
} // namespace rflags

/// The canonical address of the same low 48 bits.
constexpr u64 canonical(u64 va) {
    return static_cast<u64>(static_cast<int64_t>(va << 16) >> 16);
}

/// Undo what SYSCALL did to rip and rflags, where it did not arrive by itself but with registers that the guest may
/// have made up: they become what some SYSCALL could have left, a canonical address and flags that a program can have.
inline void undo_syscall(Regs& regs) {
    regs.rip = canonical(regs.rcx);
    regs.rflags = (regs.r11 & rflags::PROGRAM) | rflags::IF | rflags::FIXED;
    regs.rcx = regs.rip;
    regs.r11 = regs.rflags;
}

} // namespace parapet::nucleus
