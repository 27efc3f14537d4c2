// SPDX-License-Identifier: Apache-2.0
// callback_op and nmi_op: entry points that the hypervisor calls in the guest.
// Source: xen/include/public/callback.h, nmi.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned CALLBACKOP_register = 0;
inline constexpr unsigned CALLBACKOP_unregister = 1;

inline constexpr uint16_t CALLBACKTYPE_event = 0;
inline constexpr uint16_t CALLBACKTYPE_failsafe = 1;
inline constexpr uint16_t CALLBACKTYPE_syscall = 2;
inline constexpr uint16_t CALLBACKTYPE_sysenter_deprecated = 3;
inline constexpr uint16_t CALLBACKTYPE_nmi = 4;
inline constexpr uint16_t CALLBACKTYPE_sysenter = 5;
inline constexpr uint16_t CALLBACKTYPE_syscall32 = 7;

inline constexpr uint16_t CALLBACKF_mask_events = 1u << 0;

// xen_callback_t: an address for 64-bit guests, a far pointer for 32-bit ones.
using xen_callback64 = uint64_t;
struct xen_callback32 {
    uint32_t cs;
    uint32_t eip;
};
static_assert(sizeof(xen_callback32) == 8);

template <typename W>
struct callback_register_t;
template <>
struct callback_register_t<uint64_t> {
    uint16_t type;  // CALLBACKTYPE_*
    uint16_t flags; // CALLBACKF_*
    xen_callback64 address;
};
template <>
struct callback_register_t<uint32_t> {
    uint16_t type;  // CALLBACKTYPE_*
    uint16_t flags; // CALLBACKF_*
    xen_callback32 address;
};
using callback_register64 = callback_register_t<uint64_t>;
using callback_register32 = callback_register_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(callback_register64) == 16);
static_assert(sizeof(callback_register32) == 12);

struct callback_unregister {
    uint16_t type; // CALLBACKTYPE_*
    uint16_t _unused;
};
static_assert(sizeof(callback_unregister) == 4);

// nmi_op; the bits of arch_shared_info's nmi_reason.
inline constexpr unsigned XENNMI_register_callback = 0;
inline constexpr unsigned XENNMI_unregister_callback = 1;

inline constexpr unsigned XEN_NMIREASON_io_error = 1u << 0;
inline constexpr unsigned XEN_NMIREASON_pci_serr = 1u << 1;
inline constexpr unsigned XEN_NMIREASON_unknown = 1u << 2;

template <typename W>
struct xennmi_callback_t {
    W handler_address;
    W pad;
};
using xennmi_callback64 = xennmi_callback_t<uint64_t>;
using xennmi_callback32 = xennmi_callback_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(xennmi_callback64) == 16);
static_assert(sizeof(xennmi_callback32) == 8);

} // namespace parapet::abi
