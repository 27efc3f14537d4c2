// SPDX-License-Identifier: Apache-2.0
// Registers of a vCPU at its first instruction: the nucleus's boot entry, in long mode, on its own tables.
#pragma once

#include "support/result.hpp"
#include "vmm/cpuid_policy.hpp"
#include "vmm/nucleus_loader.hpp"
#include "vmm/substrate.hpp"

namespace parapet::vmm {

Result<void> set_up_vcpu(KvmVcpu& vcpu, unsigned id, const NucleusPlace& place, const Substrate& substrate,
                         const CpuidPolicy& policy);

} // namespace parapet::vmm
