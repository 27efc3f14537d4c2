// SPDX-License-Identifier: Apache-2.0
// The facts about the KVM below us that the nucleus's layout and entry paths depend on. One table, made at start:
// the manuals' facts on hardware KVM, what a probe VM finds anywhere else (substrate_probe.hpp).
#pragma once

#include "pv-abi/doorbell.hpp"
#include "support/result.hpp"
#include "vmm/kvm.hpp"

#include <cstdint>
#include <string>

namespace parapet::vmm {

struct Substrate {
    std::string name;          ///< kvm_intel, kvm_amd, or kvm-pvm (KVM without hardware support)
    bool ring3_native = false; ///< ring 3 runs on the bare processor, CPUID included; ring 0 is interpreted
    doorbell::SyscallArrival syscall_arrival = doorbell::SyscallArrival::ring0;
    std::uint64_t m2p_slot = doorbell::M2P_SLOT_ABI;
    bool ts_ignored = false;                     ///< CR0.TS has no effect at ring 3
    doorbell::Home home = doorbell::Home::ring0; ///< the home that suits it
    std::uint64_t xcr0 = 0;                      ///< vector state the guest may have, 0: FXSAVE only
    std::uint64_t vm_xcr0 = 0; ///< what of it KVM lets the VM enable, 0: nothing to enable (ring 3 has it anyway)
};

[[nodiscard]] Result<Substrate> probe_substrate(const KvmSystem& system);

} // namespace parapet::vmm
