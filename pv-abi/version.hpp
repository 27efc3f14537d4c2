// SPDX-License-Identifier: Apache-2.0
// xen_version: what the hypervisor is and which features it has.
// Source: xen/include/public/version.h, features.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned XENVER_version = 0;
inline constexpr unsigned XENVER_extraversion = 1;
inline constexpr unsigned XENVER_compile_info = 2;
inline constexpr unsigned XENVER_capabilities = 3;
inline constexpr unsigned XENVER_changeset = 4;
inline constexpr unsigned XENVER_platform_parameters = 5;
inline constexpr unsigned XENVER_get_features = 6;
inline constexpr unsigned XENVER_pagesize = 7;
inline constexpr unsigned XENVER_guest_handle = 8;
inline constexpr unsigned XENVER_commandline = 9;
inline constexpr unsigned XENVER_build_id = 10;

inline constexpr unsigned XEN_EXTRAVERSION_LEN = 16;
inline constexpr unsigned XEN_CAPABILITIES_INFO_LEN = 1024;
inline constexpr unsigned XEN_CHANGESET_INFO_LEN = 64;

using xen_extraversion_t = char[16];
using xen_capabilities_info_t = char[1024];
using xen_changeset_info_t = char[64];
using xen_commandline_t = char[1024];

struct xen_compile_info {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};
static_assert(sizeof(xen_compile_info) == 144);

template <typename W>
struct xen_platform_parameters_t {
    W virt_start; // where the hole begins
};
using xen_platform_parameters64 = xen_platform_parameters_t<uint64_t>;
using xen_platform_parameters32 = xen_platform_parameters_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_platform_parameters64) == 8);
static_assert(sizeof(xen_platform_parameters32) == 4);

struct xen_feature_info {
    uint32_t submap_idx;
    uint32_t submap; // out
};
static_assert(sizeof(xen_feature_info) == 8);

struct xen_build_id {
    uint32_t len; // in: bytes of room that follow; they are filled with the id
    // unsigned char buf[len];
};
static_assert(sizeof(xen_build_id) == 4);

// Features: bit numbers in submap 0.
inline constexpr unsigned XENFEAT_writable_page_tables = 0;
inline constexpr unsigned XENFEAT_writable_descriptor_tables = 1;
inline constexpr unsigned XENFEAT_auto_translated_physmap = 2;
inline constexpr unsigned XENFEAT_supervisor_mode_kernel = 3;
inline constexpr unsigned XENFEAT_pae_pgdir_above_4gb = 4;
inline constexpr unsigned XENFEAT_mmu_pt_update_preserve_ad = 5;
inline constexpr unsigned XENFEAT_highmem_assist = 6;
inline constexpr unsigned XENFEAT_gnttab_map_avail_bits = 7;
inline constexpr unsigned XENFEAT_hvm_callback_vector = 8;
inline constexpr unsigned XENFEAT_hvm_safe_pvclock = 9;
inline constexpr unsigned XENFEAT_hvm_pirqs = 10;
inline constexpr unsigned XENFEAT_dom0 = 11;
inline constexpr unsigned XENFEAT_memory_op_vnode_supported = 13;
inline constexpr unsigned XENFEAT_ARM_SMCCC_supported = 14;
inline constexpr unsigned XENFEAT_linux_rsdp_unrestricted = 15;
inline constexpr unsigned XENFEAT_not_direct_mapped = 16;
inline constexpr unsigned XENFEAT_direct_mapped = 17;
inline constexpr unsigned XENFEAT_NR_SUBMAPS = 1;

} // namespace parapet::abi
