// SPDX-License-Identifier: Apache-2.0
// The rings of a virtual network interface: guest transmit (tx) and guest receive (rx), and the control messages.
// Source: xen/include/public/io/netif.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

/// Ring slots that a packet of the guest may take, at least.
inline constexpr unsigned XEN_NETIF_NR_SLOTS_MIN = 18;
inline constexpr unsigned XEN_NETIF_MAX_TX_SIZE = 0xffff;

// netif_tx_request.flags
inline constexpr unsigned NETTXF_csum_blank = 1;     // the checksum field holds the pseudo-header's only
inline constexpr unsigned NETTXF_data_validated = 2; // the checksum need not be looked at
inline constexpr unsigned NETTXF_more_data = 4;
inline constexpr unsigned NETTXF_extra_info = 8;

// netif_rx_response.flags
inline constexpr unsigned NETRXF_data_validated = 1;
inline constexpr unsigned NETRXF_csum_blank = 2;
inline constexpr unsigned NETRXF_more_data = 4;
inline constexpr unsigned NETRXF_extra_info = 8;
inline constexpr unsigned NETRXF_gso_prefix = 16;

// netif_extra_info
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_NONE = 0;
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_GSO = 1;
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_MCAST_ADD = 2;
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_MCAST_DEL = 3;
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_HASH = 4;
inline constexpr unsigned XEN_NETIF_EXTRA_TYPE_MAX = 5;
inline constexpr unsigned XEN_NETIF_EXTRA_FLAG_MORE = 1;
inline constexpr unsigned XEN_NETIF_GSO_TYPE_NONE = 0;
inline constexpr unsigned XEN_NETIF_GSO_TYPE_TCPV4 = 1;
inline constexpr unsigned XEN_NETIF_GSO_TYPE_TCPV6 = 2;

// Status of a response; of rx, a number above zero is the length.
inline constexpr int NETIF_RSP_DROPPED = -2;
inline constexpr int NETIF_RSP_ERROR = -1;
inline constexpr int NETIF_RSP_OKAY = 0;
inline constexpr int NETIF_RSP_NULL = 1; // the slot held an extra

struct netif_tx_request {
    grant_ref_t gref;
    uint16_t offset; // in the page
    uint16_t flags;  // NETTXF_*
    uint16_t id;     // echoed
    uint16_t size;   // of the whole packet in its first request, of the fragment in the others
};
static_assert(sizeof(netif_tx_request) == 12);

struct netif_tx_response {
    uint16_t id;
    int16_t status;
};
static_assert(sizeof(netif_tx_response) == 4);

struct netif_rx_request {
    uint16_t id; // echoed
    uint16_t pad;
    grant_ref_t gref;
};
static_assert(sizeof(netif_rx_request) == 8);

struct netif_rx_response {
    uint16_t id;
    uint16_t offset; // in the page
    uint16_t flags;  // NETRXF_*
    int16_t status;  // bytes, or NETIF_RSP_*
};
static_assert(sizeof(netif_rx_response) == 8);

/// In a slot of either ring, after the packet's first.
struct netif_extra_info {
    uint8_t type;  // XEN_NETIF_EXTRA_TYPE_*
    uint8_t flags; // XEN_NETIF_EXTRA_FLAG_*
    union {
        struct {
            uint16_t size; // payload of each segment
            uint8_t type;  // XEN_NETIF_GSO_TYPE_*
            uint8_t pad;
            uint16_t features;
        } gso;
        struct {
            uint8_t addr[6];
        } mcast;
        struct {
            uint8_t type;
            uint8_t algorithm;
            uint8_t value[4];
        } hash;
        uint16_t pad[3];
    } u;
};
static_assert(sizeof(netif_extra_info) == 8);

// The control ring.

inline constexpr unsigned XEN_NETIF_CTRL_HASH_TYPE_IPV4 = 1;
inline constexpr unsigned XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP = 2;
inline constexpr unsigned XEN_NETIF_CTRL_HASH_TYPE_IPV6 = 4;
inline constexpr unsigned XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP = 8;
inline constexpr unsigned XEN_NETIF_CTRL_HASH_ALGORITHM_NONE = 0;
inline constexpr unsigned XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ = 1;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_INVALID = 0;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS = 1;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS = 2;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_SET_HASH_KEY = 3;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE = 4;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE = 5;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING = 6;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM = 7;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE = 8;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING = 9;
inline constexpr unsigned XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING = 10;
inline constexpr unsigned XEN_NETIF_CTRL_STATUS_SUCCESS = 0;
inline constexpr unsigned XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED = 1;
inline constexpr unsigned XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER = 2;
inline constexpr unsigned XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW = 3;
inline constexpr unsigned XEN_NETIF_CTRLF_GREF_readonly = 1;

struct xen_netif_ctrl_request {
    uint16_t id;
    uint16_t type; // XEN_NETIF_CTRL_TYPE_*
    uint32_t data[3];
};
static_assert(sizeof(xen_netif_ctrl_request) == 16);

struct xen_netif_ctrl_response {
    uint16_t id;
    uint16_t type;
    uint32_t status; // XEN_NETIF_CTRL_STATUS_*
    uint32_t data;
};
static_assert(sizeof(xen_netif_ctrl_response) == 12);

struct xen_netif_gref {
    grant_ref_t ref;
    uint16_t flags; // XEN_NETIF_CTRLF_GREF_*
    uint16_t status;
};
static_assert(sizeof(xen_netif_gref) == 8);

} // namespace parapet::abi
