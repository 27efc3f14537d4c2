// SPDX-License-Identifier: Apache-2.0
// The page shared between hypervisor and guest: events, time, wall clock; and the per-vCPU part of it.
// Source: xen/include/public/xen.h, arch-x86/xen.h.
#pragma once

#include "pv-abi/arch.hpp"
#include "pv-abi/types.hpp"

namespace parapet::abi {

// Seqlock on version: odd while the hypervisor writes. time = system_time +
// ((((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32), nanoseconds since boot.
inline constexpr uint8_t XEN_PVCLOCK_TSC_STABLE_BIT = 1 << 0;
inline constexpr uint8_t XEN_PVCLOCK_GUEST_STOPPED = 1 << 1;

struct vcpu_time_info {
    uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags; // XEN_PVCLOCK_*
    uint8_t pad1[2];
};
static_assert(sizeof(vcpu_time_info) == 32);

template <typename W>
struct arch_vcpu_info_t;
template <>
struct arch_vcpu_info_t<uint64_t> {
    uint64_t cr2; // of the last page fault
    uint64_t pad;
};
template <>
struct arch_vcpu_info_t<uint32_t> {
    uint32_t cr2; // of the last page fault
    uint32_t pad[5];
};
using arch_vcpu_info64 = arch_vcpu_info_t<uint64_t>;
using arch_vcpu_info32 = arch_vcpu_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(arch_vcpu_info64) == 16);
static_assert(sizeof(arch_vcpu_info32) == 24);

template <typename W>
struct vcpu_info_t {
    uint8_t evtchn_upcall_pending;
    uint8_t evtchn_upcall_mask;
    W evtchn_pending_sel; // a bit for each word of evtchn_pending
    arch_vcpu_info_t<W> arch;
    vcpu_time_info time;
};
using vcpu_info64 = vcpu_info_t<uint64_t>;
using vcpu_info32 = vcpu_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_info64) == 64);
static_assert(sizeof(vcpu_info32) == 64);

template <typename W>
struct arch_shared_info_t;
template <>
struct arch_shared_info_t<uint64_t> {
    uint64_t max_pfn;                    // entries in the p2m
    uint64_t pfn_to_mfn_frame_list_list; // root of the three-level p2m list; 0: not set up, ~0: use p2m_vaddr
    uint64_t nmi_reason;                 // XEN_NMIREASON_*
    uint64_t p2m_cr3;                    // not 0: p2m_vaddr is valid in this address space
    uint64_t p2m_vaddr;
    uint64_t p2m_generation; // odd while the guest changes the p2m
};
template <>
struct arch_shared_info_t<uint32_t> {
    uint32_t max_pfn;
    uint32_t pfn_to_mfn_frame_list_list;
    uint32_t nmi_reason;
    uint32_t p2m_cr3;
    uint32_t p2m_vaddr;
    uint32_t p2m_generation;
    uint32_t wc_sec_hi; // the rest of the wall clock
};
using arch_shared_info64 = arch_shared_info_t<uint64_t>;
using arch_shared_info32 = arch_shared_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(arch_shared_info64) == 48);
static_assert(sizeof(arch_shared_info32) == 28);

template <typename W>
struct shared_info_t;
template <>
struct shared_info_t<uint64_t> {
    vcpu_info64 vcpu_info[XEN_LEGACY_MAX_VCPUS];
    uint64_t evtchn_pending[64];
    uint64_t evtchn_mask[64];
    uint32_t wc_version; // seqlock, as in vcpu_time_info
    uint32_t wc_sec;     // wall clock at system time 0
    uint32_t wc_nsec;
    uint32_t wc_sec_hi;
    arch_shared_info64 arch;
};
template <>
struct shared_info_t<uint32_t> {
    vcpu_info32 vcpu_info[XEN_LEGACY_MAX_VCPUS];
    uint32_t evtchn_pending[32];
    uint32_t evtchn_mask[32];
    uint32_t wc_version; // seqlock, as in vcpu_time_info
    uint32_t wc_sec;     // wall clock at system time 0
    uint32_t wc_nsec;
    arch_shared_info32 arch;
};
using shared_info64 = shared_info_t<uint64_t>;
using shared_info32 = shared_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(shared_info64) == 3136);
static_assert(sizeof(shared_info32) == 2344);

} // namespace parapet::abi
