// SPDX-License-Identifier: Apache-2.0
// ELF notes of a guest kernel (note name "Xen").
// Source: xen/include/public/elfnote.h.
#pragma once

namespace parapet::abi {

inline constexpr unsigned XEN_ELFNOTE_INFO = 0;
inline constexpr unsigned XEN_ELFNOTE_ENTRY = 1;
inline constexpr unsigned XEN_ELFNOTE_HYPERCALL_PAGE = 2;
inline constexpr unsigned XEN_ELFNOTE_VIRT_BASE = 3;
inline constexpr unsigned XEN_ELFNOTE_PADDR_OFFSET = 4;
inline constexpr unsigned XEN_ELFNOTE_XEN_VERSION = 5;
inline constexpr unsigned XEN_ELFNOTE_GUEST_OS = 6;
inline constexpr unsigned XEN_ELFNOTE_GUEST_VERSION = 7;
inline constexpr unsigned XEN_ELFNOTE_LOADER = 8;
inline constexpr unsigned XEN_ELFNOTE_PAE_MODE = 9;
inline constexpr unsigned XEN_ELFNOTE_FEATURES = 10;
inline constexpr unsigned XEN_ELFNOTE_BSD_SYMTAB = 11;
inline constexpr unsigned XEN_ELFNOTE_HV_START_LOW = 12;
inline constexpr unsigned XEN_ELFNOTE_L1_MFN_VALID = 13;
inline constexpr unsigned XEN_ELFNOTE_SUSPEND_CANCEL = 14;
inline constexpr unsigned XEN_ELFNOTE_INIT_P2M = 15;
inline constexpr unsigned XEN_ELFNOTE_MOD_START_PFN = 16;
inline constexpr unsigned XEN_ELFNOTE_SUPPORTED_FEATURES = 17;
inline constexpr unsigned XEN_ELFNOTE_PHYS32_ENTRY = 18;
inline constexpr unsigned XEN_ELFNOTE_CRASH_INFO = 0x1000001;
inline constexpr unsigned XEN_ELFNOTE_CRASH_REGS = 0x1000002;
inline constexpr unsigned XEN_ELFNOTE_DUMPCORE_NONE = 0x2000000;
inline constexpr unsigned XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
inline constexpr unsigned XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
inline constexpr unsigned XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;

inline constexpr unsigned XEN_ELFNOTE_MAX = XEN_ELFNOTE_PHYS32_ENTRY;

} // namespace parapet::abi
