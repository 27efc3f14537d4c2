// SPDX-License-Identifier: Apache-2.0
// Xen's CPUID leaves, its MSR and the forced-emulation prefix.
//
// Leaf 0: the largest leaf in EAX, the signature in EBX, ECX, EDX. 1: version, major << 16 | minor. 2: EAX hypercall
// pages, EBX the MSR that installs them, ECX and EDX features. 3: time (three sub-leaves). 4: HVM. 5: PV parameters.
// Source: xen/include/public/arch-x86/cpuid.h, arch-x86/xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr uint32_t XEN_CPUID_FIRST_LEAF = 0x40000000;
inline constexpr uint32_t XEN_CPUID_MAX_NUM_LEAVES = 5;
inline constexpr uint32_t XEN_CPUID_NO_SUBLEAF = 0xffffffff;

[[nodiscard]] constexpr uint32_t XEN_CPUID_LEAF(uint32_t i) {
    return XEN_CPUID_FIRST_LEAF + i;
}

// "XenVMMXenVMM".
inline constexpr uint32_t XEN_CPUID_SIGNATURE_EBX = 0x566e6558;
inline constexpr uint32_t XEN_CPUID_SIGNATURE_ECX = 0x65584d4d;
inline constexpr uint32_t XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e;

inline constexpr uint32_t XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1u << 0;
inline constexpr uint32_t XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1u << 0;
inline constexpr uint32_t XEN_HVM_CPUID_X2APIC_VIRT = 1u << 1;
inline constexpr uint32_t XEN_HVM_CPUID_IOMMU_MAPPINGS = 1u << 2;
inline constexpr uint32_t XEN_HVM_CPUID_VCPU_ID_PRESENT = 1u << 3;
inline constexpr uint32_t XEN_HVM_CPUID_DOMID_PRESENT = 1u << 4;
inline constexpr uint32_t XEN_HVM_CPUID_EXT_DEST_ID = 1u << 5;
inline constexpr uint32_t XEN_HVM_CPUID_UPCALL_VECTOR = 1u << 6;
inline constexpr uint32_t XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xffu << 0;

// Writing a page's machine address | its index here installs a hypercall page. Guests read the number from leaf 2.
inline constexpr uint32_t XEN_HYPERCALL_MSR = 0x40000000;

// ud2; "xen": before cpuid it asks for the hypervisor's view of it, where the instruction itself does not trap.
inline constexpr uint8_t XEN_EMULATE_PREFIX[] = {0x0f, 0x0b, 0x78, 0x65, 0x6e};

inline constexpr uint16_t XEN_HVM_DEBUGCONS_IOPORT = 0xe9;

// One leaf, and one MSR, as control interfaces pass them.
struct xen_cpuid_leaf {
    uint32_t leaf;
    uint32_t subleaf; // or XEN_CPUID_NO_SUBLEAF
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
};
static_assert(sizeof(xen_cpuid_leaf) == 24);

struct xen_msr_entry {
    uint32_t idx;
    uint32_t flags; // 0
    uint64_t val;
};
static_assert(sizeof(xen_msr_entry) == 16);

} // namespace parapet::abi
