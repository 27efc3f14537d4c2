// SPDX-License-Identifier: Apache-2.0
// What CPUID says to the guest. A PV kernel asks the nucleus (forced emulation prefix) and its applications ask the
// processor; both must hear the same, or vector state is lost at a context switch.
#pragma once

#include "pv-abi/doorbell.hpp"
#include "vmm/substrate.hpp"

#include <vector>

namespace parapet::vmm {

struct CpuidPolicy {
    std::vector<doorbell::CpuidLeaf> guest; ///< for the nucleus to answer from
    CpuidTable machine;                     ///< for KVM_SET_CPUID2: the same, and what the nucleus itself needs
};

/// `supported`: KVM_GET_SUPPORTED_CPUID. Where ring 3 runs natively the guest's view starts from the processor's own.
[[nodiscard]] CpuidPolicy make_cpuid_policy(const Substrate& substrate, const CpuidTable& supported);

} // namespace parapet::vmm
