// SPDX-License-Identifier: Apache-2.0
// The virtual IDT that a guest registers, and x86 exception vectors.
// Source: xen/include/public/arch-x86/xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr uint8_t TI_DPL_MASK = 3;
inline constexpr uint8_t TI_IF = 4;

template <typename W>
struct trap_info_t {
    uint8_t vector; // 0 with address 0 ends a table
    uint8_t flags;  // bits 0-1: privilege level that may raise it; bit 2: mask events on entry
    uint16_t cs;
    W address;
};
using trap_info64 = trap_info_t<uint64_t>;
using trap_info32 = trap_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(trap_info64) == 16);
static_assert(sizeof(trap_info32) == 8);

// Vectors and error-code bits are the processor's (Intel SDM volume 3, chapter 6).
inline constexpr unsigned TRAP_divide_error = 0;
inline constexpr unsigned TRAP_debug = 1;
inline constexpr unsigned TRAP_nmi = 2;
inline constexpr unsigned TRAP_int3 = 3;
inline constexpr unsigned TRAP_overflow = 4;
inline constexpr unsigned TRAP_bounds = 5;
inline constexpr unsigned TRAP_invalid_op = 6;
inline constexpr unsigned TRAP_no_device = 7;
inline constexpr unsigned TRAP_double_fault = 8;
inline constexpr unsigned TRAP_copro_seg = 9;
inline constexpr unsigned TRAP_invalid_tss = 10;
inline constexpr unsigned TRAP_no_segment = 11;
inline constexpr unsigned TRAP_stack_error = 12;
inline constexpr unsigned TRAP_gp_fault = 13;
inline constexpr unsigned TRAP_page_fault = 14;
inline constexpr unsigned TRAP_spurious_int = 15;
inline constexpr unsigned TRAP_copro_error = 16;
inline constexpr unsigned TRAP_alignment_check = 17;
inline constexpr unsigned TRAP_machine_check = 18;
inline constexpr unsigned TRAP_simd_error = 19;
inline constexpr unsigned TRAP_virtualisation = 20;
inline constexpr unsigned TRAP_control_protection = 21;

inline constexpr uint32_t PFEC_page_present = 1 << 0;
inline constexpr uint32_t PFEC_write_access = 1 << 1;
inline constexpr uint32_t PFEC_user_mode = 1 << 2;
inline constexpr uint32_t PFEC_reserved_bit = 1 << 3;
inline constexpr uint32_t PFEC_insn_fetch = 1 << 4;

} // namespace parapet::abi
