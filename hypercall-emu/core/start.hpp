// SPDX-License-Identifier: Apache-2.0
// First steps of the core: from the boot information to a validated domain with one runnable vCPU.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

/// Where things are in the nucleus's own address space (doorbell.hpp), the same in both VM homes.
void connect_machine(Machine& machine, Domain& domain, Vcpu& vcpu, const doorbell::BootInfo& boot);

/// Set up `domain` and `vcpu` (vCPU 0; its `regs` set by the home) from the boot information: owners in the frame
/// table, clock, events, then validate the initial page tables as any others. False: they break the rules, and a crash
/// was reported.
[[nodiscard]] bool start_domain(Domain& domain, Vcpu& vcpu, const doorbell::BootInfo& boot);

} // namespace parapet::nucleus
