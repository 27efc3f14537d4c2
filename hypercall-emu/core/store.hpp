// SPDX-License-Identifier: Apache-2.0
// Instructions that write to memory, as pure functions of the operand's old value and the registers.
#pragma once

#include "hypercall-emu/core/decode.hpp"

namespace parapet::nucleus {

/// Where an instruction writes.
struct StoreTarget {
    u64 address;
    unsigned size; ///< 1, 2, 4 or 8
};

/// What it does there.
struct StoreEffect {
    u64 value;     ///< new contents of the operand
    bool modifies; ///< computed from the old contents (rather than stored over them)
};

/// False: not an instruction that this knows to write to memory.
[[nodiscard]] bool store_target(const Instruction& instruction, const Regs& regs, StoreTarget& target);

/// Execute, with `old` in memory. `regs` and its flags are changed as the processor would, except rip and the counting
/// of string instructions. `source` is the element that movs moves. Precondition: store_target() accepted it.
[[nodiscard]] StoreEffect execute_store(const Instruction& instruction, const StoreTarget& target, u64 old, u64 source,
                                        Regs& regs);

[[nodiscard]] constexpr bool is_movs(const Instruction& instruction) {
    return instruction.opcode == 0xa4 || instruction.opcode == 0xa5;
}
[[nodiscard]] constexpr bool is_stos(const Instruction& instruction) {
    return instruction.opcode == 0xaa || instruction.opcode == 0xab;
}

} // namespace parapet::nucleus
