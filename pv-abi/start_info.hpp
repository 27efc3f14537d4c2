// SPDX-License-Identifier: Apache-2.0
// What a guest finds at its entry: %esi/%rsi points at start_info.
// Source: xen/include/public/xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr uint32_t SIF_PRIVILEGED = 1 << 0;
inline constexpr uint32_t SIF_INITDOMAIN = 1 << 1;
inline constexpr uint32_t SIF_MULTIBOOT_MOD = 1 << 2;
inline constexpr uint32_t SIF_MOD_START_PFN = 1 << 3;
inline constexpr uint32_t SIF_VIRT_P2M_4TOOLS = 1 << 4;
inline constexpr uint32_t SIF_PM_MASK = 0xFF << 8;

inline constexpr unsigned MAX_GUEST_CMDLINE = 1024;

template <typename W>
struct start_info_t {
    // Valid at boot and after resume.
    char magic[32]; // "xen-<version>-<platform>"
    W nr_pages;
    W shared_info;  // machine address
    uint32_t flags; // SIF_*
    W store_mfn;
    uint32_t store_evtchn;
    union {
        struct {
            W mfn;
            uint32_t evtchn;
        } domU;
        struct {
            uint32_t info_off;
            uint32_t info_size;
        } dom0;
    } console;
    // Valid at boot only.
    W pt_base;      // virtual address of the root page table
    W nr_pt_frames; // frames of the boot page tables
    W mfn_list;     // virtual address of the p2m list
    W mod_start;    // virtual address of the module; its PFN with SIF_MOD_START_PFN; 0 without a module
    W mod_len;      // bytes
    int8_t cmd_line[MAX_GUEST_CMDLINE];
    W first_p2m_pfn; // the p2m list's own frames, where mfn_list is outside the initial mapping (XEN_ELFNOTE_INIT_P2M)
    W nr_p2m_frames;
};
using start_info64 = start_info_t<uint64_t>;
using start_info32 = start_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(start_info64) == 1168);
static_assert(sizeof(start_info32) == 1112);

// With SIF_MULTIBOOT_MOD, mod_start points at an array of these, ended by a zero mod_start.
struct xen_multiboot_mod_list {
    uint32_t mod_start; // first byte
    uint32_t mod_end;   // last byte
    uint32_t cmdline;
    uint32_t pad;
};
static_assert(sizeof(xen_multiboot_mod_list) == 16);

// Dom0's console, at console.dom0.info_off.
inline constexpr uint8_t XEN_VGATYPE_TEXT_MODE_3 = 0x03;
inline constexpr uint8_t XEN_VGATYPE_VESA_LFB = 0x23;
inline constexpr uint8_t XEN_VGATYPE_EFI_LFB = 0x70;

struct dom0_vga_console_info {
    uint8_t video_type; // XEN_VGATYPE_*
    union {
        struct {
            uint16_t font_height;
            uint16_t cursor_x;
            uint16_t cursor_y;
            uint16_t rows;
            uint16_t columns;
        } text_mode_3;
        struct {
            uint16_t width;
            uint16_t height;
            uint16_t bytes_per_line;
            uint16_t bits_per_pixel;
            uint32_t lfb_base;
            uint32_t lfb_size;
            uint8_t red_pos;
            uint8_t red_size;
            uint8_t green_pos;
            uint8_t green_size;
            uint8_t blue_pos;
            uint8_t blue_size;
            uint8_t rsvd_pos;
            uint8_t rsvd_size;
            uint32_t gbl_caps;
            uint16_t mode_attrs;
            uint16_t pad;
            uint32_t ext_lfb_base;
        } vesa_lfb;
    } u;
};
static_assert(sizeof(dom0_vga_console_info) == 40);

} // namespace parapet::abi
