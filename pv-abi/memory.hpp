// SPDX-License-Identifier: Apache-2.0
// memory_op: reservations, machine-to-physical information, physical maps.
// Source: xen/include/public/memory.h.
#pragma once

#include "pv-abi/physdev.hpp"
#include "pv-abi/types.hpp"

namespace parapet::abi {

// Subcommands for guests.
inline constexpr unsigned XENMEM_increase_reservation = 0;
inline constexpr unsigned XENMEM_decrease_reservation = 1;
inline constexpr unsigned XENMEM_populate_physmap = 6;
inline constexpr unsigned XENMEM_exchange = 11;
inline constexpr unsigned XENMEM_maximum_ram_page = 2;
inline constexpr unsigned XENMEM_current_reservation = 3;
inline constexpr unsigned XENMEM_maximum_reservation = 4;
inline constexpr unsigned XENMEM_maximum_gpfn = 14;
inline constexpr unsigned XENMEM_machphys_mfn_list = 5;
inline constexpr unsigned XENMEM_machphys_compat_mfn_list = 25;
inline constexpr unsigned XENMEM_machphys_mapping = 12;
inline constexpr unsigned XENMEM_add_to_physmap = 7;
inline constexpr unsigned XENMEM_add_to_physmap_batch = 23;
inline constexpr unsigned XENMEM_remove_from_physmap = 15;
inline constexpr unsigned XENMEM_memory_map = 9;
inline constexpr unsigned XENMEM_machine_memory_map = 10;
inline constexpr unsigned XENMEM_set_memory_map = 13;
inline constexpr unsigned XENMEM_set_pod_target = 16;
inline constexpr unsigned XENMEM_get_pod_target = 17;
inline constexpr unsigned XENMEM_acquire_resource = 28;
inline constexpr unsigned XENMEM_get_vnumainfo = 26;

// Subcommands for Xen's toolstack; listed so that a refusal can name them.
inline constexpr unsigned XENMEM_get_sharing_freed_pages = 18;
inline constexpr unsigned XENMEM_get_sharing_shared_pages = 19;
inline constexpr unsigned XENMEM_paging_op = 20;
inline constexpr unsigned XENMEM_access_op = 21;
inline constexpr unsigned XENMEM_sharing_op = 22;
inline constexpr unsigned XENMEM_claim_pages = 24;
inline constexpr unsigned XENMEM_reserved_device_memory_map = 27;

// The upper bits of memory_op's command carry the extent at which a preempted call continues.
inline constexpr unsigned MEMOP_EXTENT_SHIFT = 6;
inline constexpr unsigned MEMOP_CMD_MASK = (1u << MEMOP_EXTENT_SHIFT) - 1;

// mem_flags.
inline constexpr uint32_t XENMEMF_populate_on_demand = 1 << 16;
inline constexpr uint32_t XENMEMF_exact_node_request = 1 << 17;
inline constexpr uint32_t XENMEMF_vnode = 1 << 18;

[[nodiscard]] constexpr uint32_t XENMEMF_address_bits(uint32_t bits) {
    return bits;
}
[[nodiscard]] constexpr uint32_t XENMEMF_get_address_bits(uint32_t flags) {
    return flags & 0xffu;
}
[[nodiscard]] constexpr uint32_t XENMEMF_node(uint32_t node) {
    return (node + 1) << 8;
}
[[nodiscard]] constexpr uint32_t XENMEMF_get_node(uint32_t flags) {
    return ((flags >> 8) - 1) & 0xffu;
}
[[nodiscard]] constexpr uint32_t XENMEMF_exact_node(uint32_t node) {
    return XENMEMF_node(node) | XENMEMF_exact_node_request;
}

template <typename W>
struct xen_memory_reservation_t {
    W extent_start; // guest pointer to xen_pfn_t[nr_extents]
    W nr_extents;
    uint32_t extent_order; // an extent is 2^extent_order pages
    uint32_t mem_flags;    // XENMEMF_*
    domid_t domid;
};
using xen_memory_reservation64 = xen_memory_reservation_t<uint64_t>;
using xen_memory_reservation32 = xen_memory_reservation_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_memory_reservation64) == 32);
static_assert(sizeof(xen_memory_reservation32) == 20);

template <typename W>
struct xen_memory_exchange_t {
    xen_memory_reservation_t<W> in;
    xen_memory_reservation_t<W> out;
    W nr_exchanged; // in: 0
};
using xen_memory_exchange64 = xen_memory_exchange_t<uint64_t>;
using xen_memory_exchange32 = xen_memory_exchange_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_memory_exchange64) == 72);
static_assert(sizeof(xen_memory_exchange32) == 44);

struct xen_memory_domain {
    domid_t domid;
};
static_assert(sizeof(xen_memory_domain) == 2);

template <typename W>
struct xen_machphys_mfn_list_t {
    uint32_t max_extents;
    W extent_start; // guest pointer to xen_pfn_t[max_extents]: the table's 2 MiB extents
    uint32_t nr_extents;
};
using xen_machphys_mfn_list64 = xen_machphys_mfn_list_t<uint64_t>;
using xen_machphys_mfn_list32 = xen_machphys_mfn_list_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_machphys_mfn_list64) == 24);
static_assert(sizeof(xen_machphys_mfn_list32) == 12);

template <typename W>
struct xen_machphys_mapping_t {
    W v_start;
    W v_end;
    W max_mfn;
};
using xen_machphys_mapping64 = xen_machphys_mapping_t<uint64_t>;
using xen_machphys_mapping32 = xen_machphys_mapping_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_machphys_mapping64) == 24);
static_assert(sizeof(xen_machphys_mapping32) == 12);

inline constexpr uint32_t XENMAPSPACE_shared_info = 0;
inline constexpr uint32_t XENMAPSPACE_grant_table = 1;
inline constexpr uint32_t XENMAPSPACE_gmfn = 2;
inline constexpr uint32_t XENMAPSPACE_gmfn_range = 3;
inline constexpr uint32_t XENMAPSPACE_gmfn_foreign = 4;
inline constexpr uint32_t XENMAPSPACE_dev_mmio = 5;
inline constexpr uint32_t XENMAPIDX_grant_table_status = 0x80000000;

template <typename W>
struct xen_add_to_physmap_t {
    domid_t domid;
    uint16_t size;  // pages, for gmfn_range
    uint32_t space; // XENMAPSPACE_*
    W idx;
    W gpfn;
};
using xen_add_to_physmap64 = xen_add_to_physmap_t<uint64_t>;
using xen_add_to_physmap32 = xen_add_to_physmap_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_add_to_physmap64) == 24);
static_assert(sizeof(xen_add_to_physmap32) == 16);

union xen_add_to_physmap_batch_extra {
    domid_t foreign_domid; // gmfn_foreign
    uint16_t res0;
};
static_assert(sizeof(xen_add_to_physmap_batch_extra) == 2);

template <typename W>
struct xen_add_to_physmap_batch_t {
    domid_t domid;
    uint16_t space; // XENMAPSPACE_*
    uint16_t size;
    xen_add_to_physmap_batch_extra u;
    W idxs;  // guest pointer to xen_ulong_t[size]
    W gpfns; // guest pointer to xen_pfn_t[size]
    W errs;  // guest pointer to int[size]
};
using xen_add_to_physmap_batch64 = xen_add_to_physmap_batch_t<uint64_t>;
using xen_add_to_physmap_batch32 = xen_add_to_physmap_batch_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_add_to_physmap_batch64) == 32);
static_assert(sizeof(xen_add_to_physmap_batch32) == 20);

template <typename W>
struct xen_remove_from_physmap_t {
    domid_t domid;
    W gpfn;
};
using xen_remove_from_physmap64 = xen_remove_from_physmap_t<uint64_t>;
using xen_remove_from_physmap32 = xen_remove_from_physmap_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_remove_from_physmap64) == 16);
static_assert(sizeof(xen_remove_from_physmap32) == 8);

template <typename W>
struct xen_memory_map_t {
    uint32_t nr_entries; // in: room; out: entries
    W buffer;            // guest pointer to e820entry[nr_entries]
};
using xen_memory_map64 = xen_memory_map_t<uint64_t>;
using xen_memory_map32 = xen_memory_map_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_memory_map64) == 16);
static_assert(sizeof(xen_memory_map32) == 8);

template <typename W>
struct xen_foreign_memory_map_t {
    domid_t domid;
    xen_memory_map_t<W> map;
};
using xen_foreign_memory_map64 = xen_foreign_memory_map_t<uint64_t>;
using xen_foreign_memory_map32 = xen_foreign_memory_map_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_foreign_memory_map64) == 24);
static_assert(sizeof(xen_foreign_memory_map32) == 12);

// As the BIOS's INT 15h, EAX=E820h returns it; Xen states the format by reference to that.
struct __attribute__((packed)) e820entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type; // E820_*
};
static_assert(sizeof(e820entry) == 20);

inline constexpr uint32_t E820_RAM = 1;
inline constexpr uint32_t E820_RESERVED = 2;
inline constexpr uint32_t E820_ACPI = 3;
inline constexpr uint32_t E820_NVS = 4;
inline constexpr uint32_t E820_UNUSABLE = 5;

template <typename W>
struct xen_pod_target_t {
    u64_field<W> target_pages;
    u64_field<W> tot_pages;
    u64_field<W> pod_cache_pages;
    u64_field<W> pod_entries;
    domid_t domid;
};
using xen_pod_target64 = xen_pod_target_t<uint64_t>;
using xen_pod_target32 = xen_pod_target_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_pod_target64) == 40);
static_assert(sizeof(xen_pod_target32) == 36);

inline constexpr uint16_t XENMEM_resource_ioreq_server = 0;
inline constexpr uint16_t XENMEM_resource_grant_table = 1;
inline constexpr uint16_t XENMEM_resource_vmtrace_buf = 2;
inline constexpr uint16_t XENMEM_resource_grant_table_id_shared = 0;
inline constexpr uint16_t XENMEM_resource_grant_table_id_status = 1;
inline constexpr uint16_t XENMEM_resource_ioreq_server_frame_bufioreq = 0;

template <typename W>
struct xen_mem_acquire_resource_t {
    domid_t domid;
    uint16_t type; // XENMEM_resource_*
    uint32_t id;
    uint32_t nr_frames;
    uint32_t pad;
    u64_field<W> frame;
    W frame_list; // guest pointer to xen_pfn_t[nr_frames]
};
using xen_mem_acquire_resource64 = xen_mem_acquire_resource_t<uint64_t>;
using xen_mem_acquire_resource32 = xen_mem_acquire_resource_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_mem_acquire_resource64) == 32);
static_assert(sizeof(xen_mem_acquire_resource32) == 28);

struct xen_vmemrange {
    uint64_t start;
    uint64_t end;
    uint32_t flags;
    uint32_t nid;
};
static_assert(sizeof(xen_vmemrange) == 24);

template <typename W>
struct xen_vnuma_topology_info_t {
    domid_t domid;
    uint16_t pad;
    uint32_t nr_vnodes;
    uint32_t nr_vcpus;
    uint32_t nr_vmemranges;
    union {
        W h; // guest pointer to unsigned[nr_vnodes * nr_vnodes]
        u64_field<W> pad;
    } vdistance;
    union {
        W h; // guest pointer to unsigned[nr_vcpus]
        u64_field<W> pad;
    } vcpu_to_vnode;
    union {
        W h; // guest pointer to xen_vmemrange[nr_vmemranges]
        u64_field<W> pad;
    } vmemrange;
};
using xen_vnuma_topology_info64 = xen_vnuma_topology_info_t<uint64_t>;
using xen_vnuma_topology_info32 = xen_vnuma_topology_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xen_vnuma_topology_info64) == 40);
static_assert(sizeof(xen_vnuma_topology_info32) == 40);

} // namespace parapet::abi
