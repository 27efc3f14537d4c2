// SPDX-License-Identifier: Apache-2.0
// The parts of instruction emulation, by what they touch. All follow Xen 4.17's behaviour for an unprivileged domain.
#pragma once

#include "hypercall-emu/core/instruction.hpp"

namespace parapet::nucleus {

// control_registers.cpp
[[nodiscard]] Emulation read_control_register(Vcpu& vcpu, unsigned number, u64& value);
[[nodiscard]] Emulation write_control_register(Vcpu& vcpu, unsigned number, u64 value);
[[nodiscard]] Emulation write_xcr(Vcpu& vcpu, u32 index, u64 value);

// msr.cpp
[[nodiscard]] Emulation read_msr(Vcpu& vcpu, u32 index, u64& value);
[[nodiscard]] Emulation write_msr(Vcpu& vcpu, u32 index, u64 value);

// cpuid.cpp
/// What the guest sees on this vCPU: the policy with the bits that depend on its state. `enlightened`: the kernel asked
/// by the forced-emulation prefix.
void vcpu_cpuid(const Vcpu& vcpu, u32 leaf, u32 subleaf, bool enlightened, u32 (&out)[4]);

// port_io.cpp
[[nodiscard]] Emulation emulate_port_io(Vcpu& vcpu, const Instruction& instruction);
/// May the guest, as it runs now, use instructions that IOPL guards?
[[nodiscard]] bool iopl_allows(const Vcpu& vcpu);

/// CR4 bits that the guest may change, and those that always read as one.
inline constexpr u64 CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_FSGSBASE = 1 << 16, CR4_OSXSAVE = 1 << 18;
inline constexpr u64 CR4_LOADED = CR4_TSD | CR4_FSGSBASE;                    ///< those that the processor is to obey
inline constexpr u64 CR4_SHOWN = (1 << 5) | (1 << 6) | (1 << 9) | (1 << 10); // PAE, MCE, OSFXSR, OSXMMEXCPT

} // namespace parapet::nucleus
