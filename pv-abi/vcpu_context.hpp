// SPDX-License-Identifier: Apache-2.0
// The state in which a vCPU starts: the argument of VCPUOP_initialise.
// Source: xen/include/public/arch-x86/xen.h.
#pragma once

#include "pv-abi/arch.hpp"
#include "pv-abi/trap.hpp"
#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned VGCF_I387_VALID = 1 << 0;
inline constexpr unsigned VGCF_IN_KERNEL = 1 << 2;
inline constexpr unsigned VGCF_i387_valid = 1 << 0;
inline constexpr unsigned VGCF_in_kernel = 1 << 2;
inline constexpr unsigned VGCF_failsafe_disables_events = 1 << 3;
inline constexpr unsigned VGCF_syscall_disables_events = 1 << 4;
inline constexpr unsigned VGCF_online = 1 << 5;

template <typename W>
struct vcpu_guest_context_t;
template <>
struct vcpu_guest_context_t<uint64_t> {
    struct {
        char x[512];
    } fpu_ctxt;
    uint64_t flags; // VGCF_*
    cpu_user_regs_t<uint64_t> user_regs;
    trap_info_t<uint64_t> trap_ctxt[256];
    uint64_t ldt_base;
    uint64_t ldt_ents;
    uint64_t gdt_frames[16]; // machine frames
    uint64_t gdt_ents;
    uint64_t kernel_ss;
    uint64_t kernel_sp;
    uint64_t ctrlreg[8]; // [1] of a 64-bit guest: the root for user mode, coded as [3]
    uint64_t debugreg[8];
    uint64_t event_callback_eip;
    uint64_t failsafe_callback_eip;
    uint64_t syscall_callback_eip;
    uint64_t vm_assist; // 1 << VMASST_TYPE_*
    uint64_t fs_base;
    uint64_t gs_base_kernel;
    uint64_t gs_base_user;
};
template <>
struct vcpu_guest_context_t<uint32_t> {
    struct {
        char x[512];
    } fpu_ctxt;
    uint32_t flags; // VGCF_*
    cpu_user_regs_t<uint32_t> user_regs;
    trap_info_t<uint32_t> trap_ctxt[256];
    uint32_t ldt_base;
    uint32_t ldt_ents;
    uint32_t gdt_frames[16]; // machine frames
    uint32_t gdt_ents;
    uint32_t kernel_ss;
    uint32_t kernel_sp;
    uint32_t ctrlreg[8]; // [1] of a 64-bit guest: the root for user mode, coded as [3]
    uint32_t debugreg[8];
    uint32_t event_callback_cs;
    uint32_t event_callback_eip;
    uint32_t failsafe_callback_cs;
    uint32_t failsafe_callback_eip;
    uint32_t vm_assist; // 1 << VMASST_TYPE_*
};
using vcpu_guest_context64 = vcpu_guest_context_t<uint64_t>;
using vcpu_guest_context32 = vcpu_guest_context_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_guest_context64) == 5168);
static_assert(sizeof(vcpu_guest_context32) == 2800);

} // namespace parapet::abi
