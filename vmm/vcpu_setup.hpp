// SPDX-License-Identifier: Apache-2.0
// Registers of a vCPU at its first instruction: in long mode, on tables that the vmm has built.
#pragma once

#include "support/result.hpp"
#include "vmm/cpuid_policy.hpp"
#include "vmm/nucleus_loader.hpp"
#include "vmm/substrate.hpp"

namespace parapet::vmm {

/// How SYSCALL is set up. Where ring 3 runs natively it does not ask EFER.SCE; but what the host emulates (SYSCALL of
/// compatibility code, or in the shadow of `mov ss`) does, and would go to ring 0 at LSTAR, or at CSTAR cut to 32 bits,
/// on the program's own stack. So it is off there: the program gets #UD (hypercall-emu/core/compat_syscall.cpp). Should
/// it arrive nevertheless, then at 0, where a program cannot map anything.
struct SyscallSetup {
    bool enabled = true; ///< EFER.SCE
    std::uint64_t lstar = 0, cstar = 0;
};

/// Selectors and addresses of a start at ring 0 with interrupts off. The descriptors are already in the tables.
struct LongModeStart {
    struct Table {
        std::uint64_t base = 0;
        std::uint16_t limit = 0;
    };
    std::uint16_t cs = 0, ss = 0, data = 0, tss = 0;
    std::uint64_t tss_base = 0;
    Table gdt, idt;
    std::uint64_t root = 0; ///< CR3
    std::uint64_t rip = 0, rsp = 0, rdi = 0;
    std::uint64_t star = 0;
    SyscallSetup syscall;
    std::uint64_t xcr0 = 0; ///< 0: no XSAVE
    bool smep = false;      ///< CR4.SMEP, which KVM takes where its CPUID table has it
};
Result<void> set_long_mode(KvmVcpu& vcpu, const LongModeStart& start);

[[nodiscard]] SyscallSetup syscall_setup(const doorbell::ImageHeader& header, unsigned id, const Substrate& substrate);

/// Can the nucleus make CPUID fault at ring 3 (MSR_MISC_FEATURES_ENABLES), as a guest may ask? KVM does it in software,
/// on processors of either maker; not where ring 3 runs natively.
[[nodiscard]] bool has_cpuid_faulting(KvmVcpu& vcpu, const Substrate& substrate);

/// Does ring 0 run with SMEP, so that it can execute nothing that ring 3 can? In home ring0, where the processor has
/// it. Home ring3 runs its ring-0 stubs on the core's root for some instructions, where the nucleus is open to ring 3.
[[nodiscard]] bool uses_smep(doorbell::Home home, const CpuidTable& machine);

/// At the nucleus's boot entry.
Result<void> set_up_vcpu(KvmVcpu& vcpu, unsigned id, const NucleusPlace& place, const Substrate& substrate,
                         const CpuidPolicy& policy);

} // namespace parapet::vmm
