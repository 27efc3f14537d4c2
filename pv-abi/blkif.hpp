// SPDX-License-Identifier: Apache-2.0
// The block interface: requests and responses on a ring between a guest's frontend and a backend.
// Source: xen/include/public/io/blkif.h, io/protocols.h. Sector numbers count 512 bytes, whatever the sector size.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

using blkif_vdev_t = uint16_t;
using blkif_sector_t = uint64_t;

inline constexpr uint8_t BLKIF_OP_READ = 0;
inline constexpr uint8_t BLKIF_OP_WRITE = 1;
inline constexpr uint8_t BLKIF_OP_WRITE_BARRIER = 2;
inline constexpr uint8_t BLKIF_OP_FLUSH_DISKCACHE = 3;
inline constexpr uint8_t BLKIF_OP_RESERVED_1 = 4;
inline constexpr uint8_t BLKIF_OP_DISCARD = 5;
inline constexpr uint8_t BLKIF_OP_INDIRECT = 6;

inline constexpr uint8_t BLKIF_DISCARD_SECURE = 1 << 0;

inline constexpr unsigned BLKIF_MAX_SEGMENTS_PER_REQUEST = 11;
inline constexpr unsigned BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8;

inline constexpr int16_t BLKIF_RSP_EOPNOTSUPP = -2;
inline constexpr int16_t BLKIF_RSP_ERROR = -1;
inline constexpr int16_t BLKIF_RSP_OKAY = 0;

// Bits of the backend's node `info`.
inline constexpr unsigned VDISK_CDROM = 0x1;
inline constexpr unsigned VDISK_REMOVABLE = 0x2;
inline constexpr unsigned VDISK_READONLY = 0x4;

// Values of the frontend's node `protocol`: the guest width whose layout the ring has.
inline constexpr char XEN_IO_PROTO_ABI_X86_32[] = "x86_32-abi";
inline constexpr char XEN_IO_PROTO_ABI_X86_64[] = "x86_64-abi";

struct blkif_request_segment {
    grant_ref_t gref;
    uint8_t first_sect; // in the frame, inclusive
    uint8_t last_sect;
};
static_assert(sizeof(blkif_request_segment) == 8);

template <typename W>
struct blkif_request_t {
    uint8_t operation; // BLKIF_OP_*
    uint8_t nr_segments;
    blkif_vdev_t handle;
    u64_field<W> id; // the guest's, echoed in the response
    u64_field<W> sector_number;
    blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};
using blkif_request64 = blkif_request_t<uint64_t>;
using blkif_request32 = blkif_request_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(blkif_request64) == 112);
static_assert(sizeof(blkif_request32) == 108);

template <typename W>
struct blkif_request_discard_t {
    uint8_t operation; // BLKIF_OP_DISCARD
    uint8_t flag;      // BLKIF_DISCARD_SECURE or 0
    blkif_vdev_t handle;
    u64_field<W> id;
    u64_field<W> sector_number;
    u64_field<W> nr_sectors;
};
using blkif_request_discard64 = blkif_request_discard_t<uint64_t>;
using blkif_request_discard32 = blkif_request_discard_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(blkif_request_discard64) == 32);
static_assert(sizeof(blkif_request_discard32) == 28);

template <typename W>
struct blkif_request_indirect_t;

template <>
struct blkif_request_indirect_t<uint64_t> {
    uint8_t operation;   // BLKIF_OP_INDIRECT
    uint8_t indirect_op; // BLKIF_OP_READ or BLKIF_OP_WRITE
    uint16_t nr_segments;
    uint64_t id;
    uint64_t sector_number;
    blkif_vdev_t handle;
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST]; // pages of blkif_request_segment
};

template <>
struct blkif_request_indirect_t<uint32_t> {
    uint8_t operation;
    uint8_t indirect_op;
    uint16_t nr_segments;
    u64_align4 id;
    u64_align4 sector_number;
    blkif_vdev_t handle;
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
    u64_align4 pad;
};
using blkif_request_indirect64 = blkif_request_indirect_t<uint64_t>;
using blkif_request_indirect32 = blkif_request_indirect_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(blkif_request_indirect64) == 64);
static_assert(sizeof(blkif_request_indirect32) == 64);

template <typename W>
struct blkif_response_t {
    u64_field<W> id;   // of the request
    uint8_t operation; // of the request
    int16_t status;    // BLKIF_RSP_*
};
using blkif_response64 = blkif_response_t<uint64_t>;
using blkif_response32 = blkif_response_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(blkif_response64) == 16);
static_assert(sizeof(blkif_response32) == 12);

} // namespace parapet::abi
