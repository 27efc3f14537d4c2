// SPDX-License-Identifier: Apache-2.0
// VCPUOP_initialise: the state in which a vCPU will start.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

/// Fill `target`, which never ran, from a vcpu_guest_context64 at `arg`. After an error it may be tried again.
[[nodiscard]] Status initialise_vcpu(Vcpu& vcpu, Vcpu& target, GuestVa arg);

} // namespace parapet::nucleus
