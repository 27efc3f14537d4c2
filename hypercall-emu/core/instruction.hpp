// SPDX-License-Identifier: Apache-2.0
// What the emulators share: fetching the guest's instruction, and finishing one.
#pragma once

#include "hypercall-emu/core/decode.hpp"
#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

enum class Emulation : u8 {
    refused,   ///< nothing changed: the fault is the guest's
    undefined, ///< nothing changed: the guest's fault is #UD, whatever the processor gave
    done,      ///< go on behind the instruction
    again,     ///< a repeated instruction has more to do, or rip is already where it should be
};

/// Fetch and decode the instruction at rip, in 64-bit mode. False: not readable or not known.
[[nodiscard]] bool fetch_instruction(Vcpu& vcpu, Instruction& instruction);

/// Go on behind an emulated instruction of `length` bytes: rip, RF, and the single-step trap if TF is set.
void finish_instruction(Vcpu& vcpu, unsigned length);

/// One element of a string instruction is done: step rsi and/or rdi, count rcx down. `done` when it was the last.
[[nodiscard]] Emulation finish_element(Vcpu& vcpu, const Instruction& instruction, unsigned size, bool source,
                                       bool destination);
/// Will a repeated string instruction do nothing, because its count is zero?
[[nodiscard]] bool count_exhausted(const Vcpu& vcpu, const Instruction& instruction);

} // namespace parapet::nucleus
