// SPDX-License-Identifier: Apache-2.0
// Instructions that read memory and do not write it, as the processor carries them out where all ones are read.
#pragma once

#include "hypercall-emu/core/decode.hpp"

namespace parapet::nucleus {

/// What an instruction reads.
struct Load {
    u64 address;
    unsigned size; ///< 1, 2, 4, 8 or 16
    bool vector;   ///< into the SSE register `reg`, zero-extended
};

/// False: not an instruction that this knows to read memory.
[[nodiscard]] bool find_load(const Instruction& instruction, const Regs& regs, Load& load);

/// Execute with all ones in memory: registers and flags, but rip and the counting of string instructions.
/// Precondition: find_load() accepted it, it is no movs and no vector load.
void execute_load(const Instruction& instruction, const Load& load, Regs& regs);

/// The size of what an instruction writes whose value comes from elsewhere than general registers (SSE, setcc): 0 where
/// it is none of these. store.hpp has all others.
[[nodiscard]] unsigned plain_store_size(const Instruction& instruction);

[[nodiscard]] constexpr bool is_lods(const Instruction& instruction) {
    return instruction.opcode == 0xac || instruction.opcode == 0xad;
}

} // namespace parapet::nucleus
