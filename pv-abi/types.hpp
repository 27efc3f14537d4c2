// SPDX-License-Identifier: Apache-2.0
// Guest widths, and the number types that every interface shares.
// Source: xen/include/public/xen.h, arch-x86/xen.h.
//
// A structure whose layout depends on the guest's width is a template over the guest's word: `start_info_t<uint64_t>`
// (alias `start_info64`) is what a 64-bit guest sees, `start_info_t<uint32_t>` (`start_info32`) what a 32-bit one sees.
// A structure that is the same for both has Xen's plain name. Guest handles (pointers) and xen_pfn_t are plain words.
// Sizes and offsets are Xen's; a 32-bit guest may align a plain structure with 64-bit numbers to 4 only, so copy such
// structures out of guest memory instead of pointing into it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace parapet::abi {

// A uint64_t as i386 lays it out in a structure: aligned to 4. Reads and writes like a number.
struct __attribute__((packed, aligned(4))) u64_align4 {
    uint64_t value;

    u64_align4() = default;
    constexpr u64_align4(uint64_t number) : value(number) {} // NOLINT(google-explicit-constructor)
    constexpr operator uint64_t() const { return value; }    // NOLINT(google-explicit-constructor)
};
static_assert(sizeof(u64_align4) == 8 && alignof(u64_align4) == 4);

template <typename W>
struct guest_width;

struct Abi64 {
    using word = uint64_t;
    using u64 = uint64_t;
    static constexpr unsigned bits = 64;
};

struct Abi32 {
    using word = uint32_t;
    using u64 = u64_align4;
    static constexpr unsigned bits = 32;
};

template <>
struct guest_width<uint64_t> : Abi64 {};
template <>
struct guest_width<uint32_t> : Abi32 {};

// A 64-bit field in a structure of a guest with word W.
template <typename W>
using u64_field = typename guest_width<W>::u64;

// For size assertions: a 32-bit compilation (a 32-bit guest) cannot lay out 64-bit guests' structures.
inline constexpr bool lays_out_64 = sizeof(void*) == 8;

using domid_t = uint16_t;
using evtchn_port_t = uint32_t;
using grant_ref_t = uint32_t;
using grant_handle_t = uint32_t;
using grant_status_t = uint16_t;
using event_word_t = uint32_t;
using xen_domain_handle_t = uint8_t[16];

inline constexpr domid_t DOMID_FIRST_RESERVED = 0x7FF0;
inline constexpr domid_t DOMID_SELF = 0x7FF0;
inline constexpr domid_t DOMID_IO = 0x7FF1;
inline constexpr domid_t DOMID_XEN = 0x7FF2;
inline constexpr domid_t DOMID_COW = 0x7FF3;
inline constexpr domid_t DOMID_INVALID = 0x7FF4;
inline constexpr domid_t DOMID_IDLE = 0x7FFF;
inline constexpr domid_t DOMID_MASK = 0x7FFF;

} // namespace parapet::abi
