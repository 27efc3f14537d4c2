// SPDX-License-Identifier: Apache-2.0
// A VM of a few pages that finds out, by running, what no flag of the host says about the KVM below us.
#pragma once

#include "pv-abi/doorbell.hpp"
#include "support/result.hpp"
#include "vmm/kvm.hpp"
#include "vmm/probe_ways.hpp"

#include <chrono>

namespace parapet::vmm {

struct ProbeFindings {
    doorbell::SyscallArrival syscall_arrival = doorbell::SyscallArrival::ring0;
    bool ring0_interpreted = false;  ///< an instruction takes at ring 0 a multiple of its time at ring 3
    bool ring3_native_cpuid = false; ///< CPUID at ring 3 answers for the processor, not from KVM's table
    bool slot256_works = false;      ///< L4 slot 256 can be mapped for ring 3
    WayFindings ways{};
};

/// Takes some milliseconds; `limit` bounds it. Error: this KVM does something that the nucleus has no entry path for.
[[nodiscard]] Result<ProbeFindings> run_probe(const KvmSystem& system, std::chrono::milliseconds limit);

} // namespace parapet::vmm
