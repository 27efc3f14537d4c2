// SPDX-License-Identifier: Apache-2.0
// The parts of memory_op.
#pragma once

#include "hypercall-emu/core/hypercalls.hpp"

namespace parapet::nucleus {

/// Largest extent that a domain without devices may ask for, as in Xen.
inline constexpr unsigned MAX_EXTENT_ORDER = 9;

/// What naming another domain costs: Dom0 exists, but is not this domain's to touch.
[[nodiscard]] inline Status other_domain(u16 domid) {
    return domid == 0 ? -abi::XEN_EPERM : -abi::XEN_ESRCH;
}

/// The first frame that address_bits of mem_flags excludes. 0: unfulfillable.
[[nodiscard]] u64 frame_limit(const Domain& domain, u32 mem_flags);

// reservation.cpp: increase_reservation, decrease_reservation, populate_physmap. `args` are the hypercall's.
[[nodiscard]] Status change_reservation(Vcpu& vcpu, const HypercallArgs& args);
// memory_exchange.cpp
[[nodiscard]] Status exchange_memory(Vcpu& vcpu, const HypercallArgs& args);

} // namespace parapet::nucleus
