// SPDX-License-Identifier: Apache-2.0
// TLB flushes that the guest asks for.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

void flush_local(Vcpu& vcpu);
void flush_local_page(Vcpu& vcpu, GuestVa va);
/// Every vCPU in `mask` (bit n: vCPU n).
void flush_vcpus(Domain& domain, u64 mask);
/// Flush as UVMF_* flags say. 0, -XEN_EFAULT (bad mask pointer) or -XEN_EINVAL.
[[nodiscard]] Status flush_after_update(Vcpu& vcpu, GuestVa va, u64 flags);

inline constexpr u64 ALL_VCPUS = ~0ULL;

} // namespace parapet::nucleus
