// SPDX-License-Identifier: Apache-2.0
// The rarer wishes of the core (ExitWork), carried out at ring 0 in either VM home.
#pragma once

#include "hypercall-emu/core/vcpu.hpp"

namespace parapet::nucleus {

/// What do_rare_exit_work() serves.
inline constexpr u32 RARE_EXIT_WORK = ExitWork::DEBUG_REGS | ExitWork::SET_TS | ExitWork::LOAD_LDT |
                                      ExitWork::LOAD_GS_SELECTOR | ExitWork::LOAD_FEATURES | ExitWork::STOP;

/// Where this vCPU's SYSCALL arrives (entry.S: syscall_stubs).
u64 syscall_stub_va(const Vcpu& vcpu);
void do_rare_exit_work(Vcpu& vcpu, u32 flags);
/// An interrupt, at ring 0: note it and end it (interrupt.hpp).
void take_interrupt(Vcpu& vcpu, u64 vector);
/// Switch the local APIC on, with the timer in TSC-deadline mode.
void start_local_apic();

} // namespace parapet::nucleus
