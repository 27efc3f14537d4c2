// SPDX-License-Identifier: Apache-2.0
// Numbers of model-specific registers, as the Intel SDM volume 4 and the AMD64 APM volume 2 give them.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus::msr {

inline constexpr u32 TSC = 0x10;
inline constexpr u32 PLATFORM_ID = 0x17;
inline constexpr u32 APIC_BASE = 0x1b;
inline constexpr u32 SPEC_CTRL = 0x48;
inline constexpr u32 PRED_CMD = 0x49;
inline constexpr u32 UCODE_REV = 0x8b;
inline constexpr u32 PLATFORM_INFO = 0xce;
inline constexpr u32 MTRR_CAP = 0xfe;
inline constexpr u32 ARCH_CAPABILITIES = 0x10a;
inline constexpr u32 MISC_FEATURES_ENABLES = 0x140;
/// In PLATFORM_INFO: CPUID faulting is there; in MISC_FEATURES_ENABLES: it is on.
inline constexpr u64 CPUID_FAULTING = 1ULL << 31, CPUID_FAULTS = 1;
inline constexpr u32 MCG_CAP = 0x179;
inline constexpr u32 MCG_STATUS = 0x17a;
inline constexpr u32 MISC_ENABLE = 0x1a0;
inline constexpr u32 PAT = 0x277;
inline constexpr u32 MTRR_DEF_TYPE = 0x2ff;
inline constexpr u32 TSC_DEADLINE = 0x6e0;
inline constexpr u32 EFER = 0xc0000080;
inline constexpr u32 FS_BASE = 0xc0000100;
inline constexpr u32 GS_BASE = 0xc0000101;
inline constexpr u32 KERNEL_GS_BASE = 0xc0000102;
inline constexpr u32 TSC_AUX = 0xc0000103;
inline constexpr u32 HWCR = 0xc0010015;
inline constexpr u32 DE_CFG = 0xc0011029;

/// Xen's PAT, which guests' page-table bits are read by: WB, WT, UC-, UC, WC, WP, UC, UC.
inline constexpr u64 PAT_VALUE = 0x050100070406;

} // namespace parapet::nucleus::msr
