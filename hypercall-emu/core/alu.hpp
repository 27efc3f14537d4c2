// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic with the flags that the processor would set. Source: AMD64 APM volume 3.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

namespace rflags {
inline constexpr u64 PF = 1 << 2, AF = 1 << 4, ZF = 1 << 6, SF = 1 << 7, OF = 1 << 11;
} // namespace rflags

/// The two-operand operations, numbered as in opcodes 0x00-0x3f and in the groups 0x80, 0x81 and 0x83.
enum class Alu : u8 { add, bit_or, adc, sbb, bit_and, sub, bit_xor, cmp };

/// `left` operation `right` on `size` bytes; `flags` are updated. For cmp the result is `left`.
[[nodiscard]] u64 alu(Alu operation, u64 left, u64 right, unsigned size, u64& flags);
/// inc and dec: as add and sub of 1, but CF stays.
[[nodiscard]] u64 alu_step(Alu operation, u64 left, unsigned size, u64& flags);
[[nodiscard]] u64 alu_negate(u64 value, unsigned size, u64& flags);

} // namespace parapet::nucleus
