// SPDX-License-Identifier: Apache-2.0
// Grant tables: the entries of both versions, and grant_table_op.
// Source: xen/include/public/grant_table.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned GNTTAB_NR_RESERVED_ENTRIES = 8;
inline constexpr unsigned GNTTAB_RESERVED_CONSOLE = 0;
inline constexpr unsigned GNTTAB_RESERVED_XENSTORE = 1;

// Entry flags: the type, then flags of permit_access, then of accept_transfer.
inline constexpr uint16_t GTF_invalid = 0;
inline constexpr uint16_t GTF_permit_access = 1;
inline constexpr uint16_t GTF_accept_transfer = 2;
inline constexpr uint16_t GTF_transitive = 3;
inline constexpr uint16_t GTF_type_mask = 3;
inline constexpr uint16_t GTF_readonly = 1 << 2;
inline constexpr uint16_t GTF_reading = 1 << 3;
inline constexpr uint16_t GTF_writing = 1 << 4;
inline constexpr uint16_t GTF_PWT = 1 << 5;
inline constexpr uint16_t GTF_PCD = 1 << 6;
inline constexpr uint16_t GTF_PAT = 1 << 7;
inline constexpr uint16_t GTF_sub_page = 1 << 8;
inline constexpr uint16_t GTF_transfer_committed = 1 << 2;
inline constexpr uint16_t GTF_transfer_completed = 1 << 3;

struct grant_entry_v1 {
    uint16_t flags; // GTF_*
    domid_t domid;
    uint32_t frame;
};
static_assert(sizeof(grant_entry_v1) == 8);

struct grant_entry_header {
    uint16_t flags; // GTF_*, without reading and writing, which are in the status array
    domid_t domid;
};
static_assert(sizeof(grant_entry_header) == 4);

union grant_entry_v2 {
    grant_entry_header hdr;
    struct {
        grant_entry_header hdr;
        uint32_t pad0;
        uint64_t frame;
    } full_page;
    struct {
        grant_entry_header hdr;
        uint16_t page_off;
        uint16_t length;
        uint64_t frame;
    } sub_page;
    struct {
        grant_entry_header hdr;
        domid_t trans_domid;
        uint16_t pad0;
        grant_ref_t gref;
    } transitive;
    uint32_t __spacer[4];
};
static_assert(sizeof(grant_entry_v2) == 16);

inline constexpr unsigned GNTTABOP_map_grant_ref = 0;
inline constexpr unsigned GNTTABOP_unmap_grant_ref = 1;
inline constexpr unsigned GNTTABOP_setup_table = 2;
inline constexpr unsigned GNTTABOP_dump_table = 3;
inline constexpr unsigned GNTTABOP_transfer = 4;
inline constexpr unsigned GNTTABOP_copy = 5;
inline constexpr unsigned GNTTABOP_query_size = 6;
inline constexpr unsigned GNTTABOP_unmap_and_replace = 7;
inline constexpr unsigned GNTTABOP_set_version = 8;
inline constexpr unsigned GNTTABOP_get_status_frames = 9;
inline constexpr unsigned GNTTABOP_get_version = 10;
inline constexpr unsigned GNTTABOP_swap_grant_ref = 11;
inline constexpr unsigned GNTTABOP_cache_flush = 12;

// Status of one request.
inline constexpr int16_t GNTST_okay = 0;
inline constexpr int16_t GNTST_general_error = -1;
inline constexpr int16_t GNTST_bad_domain = -2;
inline constexpr int16_t GNTST_bad_gntref = -3;
inline constexpr int16_t GNTST_bad_handle = -4;
inline constexpr int16_t GNTST_bad_virt_addr = -5;
inline constexpr int16_t GNTST_bad_dev_addr = -6;
inline constexpr int16_t GNTST_no_device_space = -7;
inline constexpr int16_t GNTST_permission_denied = -8;
inline constexpr int16_t GNTST_bad_page = -9;
inline constexpr int16_t GNTST_bad_copy_arg = -10;
inline constexpr int16_t GNTST_address_too_big = -11;
inline constexpr int16_t GNTST_eagain = -12;
inline constexpr int16_t GNTST_no_space = -13;

// Flags of map_grant_ref.
inline constexpr uint32_t GNTMAP_device_map = 1 << 0;
inline constexpr uint32_t GNTMAP_host_map = 1 << 1;
inline constexpr uint32_t GNTMAP_readonly = 1 << 2;
inline constexpr uint32_t GNTMAP_application_map = 1 << 3;
inline constexpr uint32_t GNTMAP_contains_pte = 1 << 4;
inline constexpr uint32_t GNTMAP_guest_avail_mask = 0xFFFF0000;

struct gnttab_map_grant_ref {
    uint64_t host_addr;
    uint32_t flags; // GNTMAP_*
    grant_ref_t ref;
    domid_t dom;
    int16_t status;        // out: GNTST_*
    grant_handle_t handle; // out
    uint64_t dev_bus_addr; // out
};
static_assert(sizeof(gnttab_map_grant_ref) == 32);

struct gnttab_unmap_grant_ref {
    uint64_t host_addr;
    uint64_t dev_bus_addr;
    grant_handle_t handle;
    int16_t status; // out: GNTST_*
};
static_assert(sizeof(gnttab_unmap_grant_ref) == 24);

template <typename W>
struct gnttab_setup_table_t {
    domid_t dom;
    uint32_t nr_frames;
    int16_t status; // out: GNTST_*
    W frame_list;   // guest pointer to xen_pfn_t[nr_frames]
};
using gnttab_setup_table64 = gnttab_setup_table_t<uint64_t>;
using gnttab_setup_table32 = gnttab_setup_table_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(gnttab_setup_table64) == 24);
static_assert(sizeof(gnttab_setup_table32) == 16);

struct gnttab_dump_table {
    domid_t dom;
    int16_t status; // out: GNTST_*
};
static_assert(sizeof(gnttab_dump_table) == 4);

template <typename W>
struct gnttab_transfer_t {
    W mfn;
    domid_t domid;
    grant_ref_t ref;
    int16_t status; // out: GNTST_*
};
using gnttab_transfer64 = gnttab_transfer_t<uint64_t>;
using gnttab_transfer32 = gnttab_transfer_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(gnttab_transfer64) == 24);
static_assert(sizeof(gnttab_transfer32) == 16);

inline constexpr uint16_t GNTCOPY_source_gref = 1 << 0;
inline constexpr uint16_t GNTCOPY_dest_gref = 1 << 1;

template <typename W>
struct gnttab_copy_ptr_t {
    union {
        grant_ref_t ref;
        W gmfn;
    } u;
    domid_t domid;
    uint16_t offset;
};
using gnttab_copy_ptr64 = gnttab_copy_ptr_t<uint64_t>;
using gnttab_copy_ptr32 = gnttab_copy_ptr_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(gnttab_copy_ptr64) == 16);
static_assert(sizeof(gnttab_copy_ptr32) == 8);

template <typename W>
struct gnttab_copy_t {
    gnttab_copy_ptr_t<W> source;
    gnttab_copy_ptr_t<W> dest;
    uint16_t len;
    uint16_t flags; // GNTCOPY_*
    int16_t status; // out: GNTST_*
};
using gnttab_copy64 = gnttab_copy_t<uint64_t>;
using gnttab_copy32 = gnttab_copy_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(gnttab_copy64) == 40);
static_assert(sizeof(gnttab_copy32) == 24);

struct gnttab_query_size {
    domid_t dom;
    uint32_t nr_frames;     // out
    uint32_t max_nr_frames; // out
    int16_t status;         // out: GNTST_*
};
static_assert(sizeof(gnttab_query_size) == 16);

struct gnttab_unmap_and_replace {
    uint64_t host_addr;
    uint64_t new_addr;
    grant_handle_t handle;
    int16_t status; // out: GNTST_*
};
static_assert(sizeof(gnttab_unmap_and_replace) == 24);

struct gnttab_set_version {
    uint32_t version; // in: wanted; out: in force
};
static_assert(sizeof(gnttab_set_version) == 4);

template <typename W>
struct gnttab_get_status_frames_t {
    uint32_t nr_frames;
    domid_t dom;
    int16_t status; // out: GNTST_*
    W frame_list;   // guest pointer to uint64_t[nr_frames]
};
using gnttab_get_status_frames64 = gnttab_get_status_frames_t<uint64_t>;
using gnttab_get_status_frames32 = gnttab_get_status_frames_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(gnttab_get_status_frames64) == 16);
static_assert(sizeof(gnttab_get_status_frames32) == 12);

struct gnttab_get_version {
    domid_t dom;
    uint16_t pad;
    uint32_t version; // out
};
static_assert(sizeof(gnttab_get_version) == 8);

struct gnttab_swap_grant_ref {
    grant_ref_t ref_a;
    grant_ref_t ref_b;
    int16_t status; // out: GNTST_*
};
static_assert(sizeof(gnttab_swap_grant_ref) == 12);

inline constexpr uint32_t GNTTAB_CACHE_CLEAN = 1u << 0;
inline constexpr uint32_t GNTTAB_CACHE_INVAL = 1u << 1;
inline constexpr uint32_t GNTTAB_CACHE_SOURCE_GREF = 1u << 31;

struct gnttab_cache_flush {
    union {
        uint64_t dev_bus_addr;
        grant_ref_t ref;
    } a;
    uint16_t offset;
    uint16_t length;
    uint32_t op; // GNTTAB_CACHE_*
};
static_assert(sizeof(gnttab_cache_flush) == 16);

} // namespace parapet::abi
