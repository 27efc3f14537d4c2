// SPDX-License-Identifier: Apache-2.0
// Bits of DomainBoot::features: what the substrate or the domain's configuration wants done differently.
#pragma once

#include <stdint.h>

namespace parapet::doorbell {

inline constexpr uint32_t BOOT_TS_IGNORED = 1 << 0;     ///< CR0.TS has no effect at ring 3: the core raises #NM itself
inline constexpr uint32_t BOOT_CPUID_FAULTING = 1 << 1; ///< the vCPU can make CPUID a fault at ring 3
inline constexpr uint32_t BOOT_LINEAR_TABLES = 1 << 2;  ///< tables may name themselves (table_validation.cpp)

} // namespace parapet::doorbell
