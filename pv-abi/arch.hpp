// SPDX-License-Identifier: Apache-2.0
// x86: address-space holes, flat selectors, reserved descriptors, segment bases, return frames, user registers.
// Source: xen/include/public/arch-x86/xen.h, xen-x86_64.h, xen-x86_32.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

// The GDT's last two pages belong to the hypervisor; guests own the entries below.
inline constexpr unsigned FIRST_RESERVED_GDT_PAGE = 14;
inline constexpr unsigned FIRST_RESERVED_GDT_BYTE = FIRST_RESERVED_GDT_PAGE * 4096;
inline constexpr unsigned FIRST_RESERVED_GDT_ENTRY = FIRST_RESERVED_GDT_BYTE / 8;
inline constexpr unsigned XEN_LEGACY_MAX_VCPUS = 32;

namespace x64 {

// The hole: [HYPERVISOR_VIRT_START, HYPERVISOR_VIRT_END), L4 slots 256-271. The machine-to-physical table starts it.
inline constexpr uint64_t HYPERVISOR_VIRT_START = 0xFFFF800000000000;
inline constexpr uint64_t HYPERVISOR_VIRT_END = 0xFFFF880000000000;
inline constexpr uint64_t MACH2PHYS_VIRT_START = 0xFFFF800000000000;
inline constexpr uint64_t MACH2PHYS_VIRT_END = 0xFFFF804000000000;
inline constexpr uint64_t MACH2PHYS_NR_ENTRIES = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 3;

inline constexpr unsigned HYPERVISOR_L4_FIRST_SLOT = 256;
inline constexpr unsigned HYPERVISOR_L4_LAST_SLOT = 271;

inline constexpr uint16_t FLAT_RING3_CS32 = 0xe023;
inline constexpr uint16_t FLAT_RING3_CS64 = 0xe033;
inline constexpr uint16_t FLAT_RING3_DS32 = 0xe02b;
inline constexpr uint16_t FLAT_RING3_DS64 = 0;
inline constexpr uint16_t FLAT_RING3_SS32 = 0xe02b;
inline constexpr uint16_t FLAT_RING3_SS64 = 0xe02b;
inline constexpr uint16_t FLAT_KERNEL_DS64 = FLAT_RING3_DS64;
inline constexpr uint16_t FLAT_KERNEL_DS32 = FLAT_RING3_DS32;
inline constexpr uint16_t FLAT_KERNEL_DS = FLAT_KERNEL_DS64;
inline constexpr uint16_t FLAT_KERNEL_CS64 = FLAT_RING3_CS64;
inline constexpr uint16_t FLAT_KERNEL_CS32 = FLAT_RING3_CS32;
inline constexpr uint16_t FLAT_KERNEL_CS = FLAT_KERNEL_CS64;
inline constexpr uint16_t FLAT_KERNEL_SS64 = FLAT_RING3_SS64;
inline constexpr uint16_t FLAT_KERNEL_SS32 = FLAT_RING3_SS32;
inline constexpr uint16_t FLAT_KERNEL_SS = FLAT_KERNEL_SS64;
inline constexpr uint16_t FLAT_USER_DS64 = FLAT_RING3_DS64;
inline constexpr uint16_t FLAT_USER_DS32 = FLAT_RING3_DS32;
inline constexpr uint16_t FLAT_USER_DS = FLAT_USER_DS64;
inline constexpr uint16_t FLAT_USER_CS64 = FLAT_RING3_CS64;
inline constexpr uint16_t FLAT_USER_CS32 = FLAT_RING3_CS32;
inline constexpr uint16_t FLAT_USER_CS = FLAT_USER_CS64;
inline constexpr uint16_t FLAT_USER_SS64 = FLAT_RING3_SS64;
inline constexpr uint16_t FLAT_USER_SS32 = FLAT_RING3_SS32;
inline constexpr uint16_t FLAT_USER_SS = FLAT_USER_SS64;

[[nodiscard]] constexpr uint64_t xen_pfn_to_cr3(uint64_t pfn) {
    return pfn << 12;
}
[[nodiscard]] constexpr uint64_t xen_cr3_to_pfn(uint64_t cr3) {
    return cr3 >> 12;
}

} // namespace x64

namespace x32 {

// PAE. The hole runs to the top of the address space.
inline constexpr uint32_t HYPERVISOR_VIRT_START = 0xF5800000;
inline constexpr uint32_t MACH2PHYS_VIRT_START = 0xF5800000;
inline constexpr uint32_t MACH2PHYS_VIRT_END = 0xF6800000;
inline constexpr uint32_t MACH2PHYS_NR_ENTRIES = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 2;

inline constexpr uint16_t FLAT_RING1_CS = 0xe019;
inline constexpr uint16_t FLAT_RING1_DS = 0xe021;
inline constexpr uint16_t FLAT_RING1_SS = 0xe021;
inline constexpr uint16_t FLAT_RING3_CS = 0xe02b;
inline constexpr uint16_t FLAT_RING3_DS = 0xe033;
inline constexpr uint16_t FLAT_RING3_SS = 0xe033;
inline constexpr uint16_t FLAT_KERNEL_CS = FLAT_RING1_CS;
inline constexpr uint16_t FLAT_KERNEL_DS = FLAT_RING1_DS;
inline constexpr uint16_t FLAT_KERNEL_SS = FLAT_RING1_SS;
inline constexpr uint16_t FLAT_USER_CS = FLAT_RING3_CS;
inline constexpr uint16_t FLAT_USER_DS = FLAT_RING3_DS;
inline constexpr uint16_t FLAT_USER_SS = FLAT_RING3_SS;

// CR3 of a PAE root above 4 GiB: the frame number rotated, so that its low 20 bits lie where a page address would.
[[nodiscard]] constexpr uint32_t xen_pfn_to_cr3(uint32_t pfn) {
    return (pfn << 12) | (pfn >> 20);
}
[[nodiscard]] constexpr uint32_t xen_cr3_to_pfn(uint32_t cr3) {
    return (cr3 >> 12) | (cr3 << 20);
}

} // namespace x32

// set_segment_base (64-bit only).
inline constexpr unsigned SEGBASE_FS = 0;
inline constexpr unsigned SEGBASE_GS_USER = 1;
inline constexpr unsigned SEGBASE_GS_KERNEL = 2;
inline constexpr unsigned SEGBASE_GS_USER_SEL = 3;

// The frame that HYPERVISOR_iret finds at the guest's rsp. flags: VGCF_in_syscall permits SYSRET and leaves rcx, r11.
inline constexpr uint64_t VGCF_in_syscall = 1 << 8;
inline constexpr uint64_t VGCF_IN_SYSCALL = VGCF_in_syscall;

struct iret_context {
    uint64_t rax;
    uint64_t r11;
    uint64_t rcx;
    uint64_t flags;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};
static_assert(sizeof(iret_context) == 72);

// What HYPERVISOR_iret finds at a 32-bit guest's esp; esp and ss only when it returns to an outer ring.
// No public header declares it: guests build it by hand (Linux xen_iret, Mini-OS HYPERVISOR_iret).
struct iret_context32 {
    uint32_t eax;
    uint32_t eip;
    uint32_t cs;
    uint32_t eflags;
    uint32_t esp;
    uint32_t ss;
};
static_assert(sizeof(iret_context32) == 24);

template <typename W>
struct cpu_user_regs_t;
template <>
struct cpu_user_regs_t<uint64_t> {
    uint64_t r15;
    uint64_t r14;
    uint64_t r13;
    uint64_t r12;
    uint64_t rbp;
    uint64_t rbx;
    uint64_t r11;
    uint64_t r10;
    uint64_t r9;
    uint64_t r8;
    uint64_t rax;
    uint64_t rcx;
    uint64_t rdx;
    uint64_t rsi;
    uint64_t rdi;
    uint32_t error_code;
    uint32_t entry_vector;
    uint64_t rip;
    uint16_t cs;
    uint16_t _pad0[1];
    uint8_t saved_upcall_mask;
    uint8_t _pad1[3];
    uint64_t rflags; // IF is the inverse of saved_upcall_mask
    uint64_t rsp;
    uint16_t ss;
    uint16_t _pad2[3];
    uint16_t es;
    uint16_t _pad3[3];
    uint16_t ds;
    uint16_t _pad4[3];
    uint16_t fs;
    uint16_t _pad5[3];
    uint16_t gs;
    uint16_t _pad6[3];
};
template <>
struct cpu_user_regs_t<uint32_t> {
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
    uint32_t esi;
    uint32_t edi;
    uint32_t ebp;
    uint32_t eax;
    uint16_t error_code;
    uint16_t entry_vector;
    uint32_t eip;
    uint16_t cs;
    uint8_t saved_upcall_mask;
    uint8_t _pad0;
    uint32_t eflags; // IF is the inverse of saved_upcall_mask
    uint32_t esp;
    uint16_t ss;
    uint16_t _pad1;
    uint16_t es;
    uint16_t _pad2;
    uint16_t ds;
    uint16_t _pad3;
    uint16_t fs;
    uint16_t _pad4;
    uint16_t gs;
    uint16_t _pad5;
};
using cpu_user_regs64 = cpu_user_regs_t<uint64_t>;
using cpu_user_regs32 = cpu_user_regs_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(cpu_user_regs64) == 200);
static_assert(sizeof(cpu_user_regs32) == 68);

} // namespace parapet::abi
