// SPDX-License-Identifier: Apache-2.0
// The xenstore wire protocol and the ring page that carries it.
// Source: xen/include/public/io/xs_wire.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

enum xsd_sockmsg_type : uint32_t {
    XS_CONTROL = 0,
    XS_DIRECTORY = 1,
    XS_READ = 2,
    XS_GET_PERMS = 3,
    XS_WATCH = 4,
    XS_UNWATCH = 5,
    XS_TRANSACTION_START = 6,
    XS_TRANSACTION_END = 7,
    XS_INTRODUCE = 8,
    XS_RELEASE = 9,
    XS_GET_DOMAIN_PATH = 10,
    XS_WRITE = 11,
    XS_MKDIR = 12,
    XS_RM = 13,
    XS_SET_PERMS = 14,
    XS_WATCH_EVENT = 15,
    XS_ERROR = 16,
    XS_IS_DOMAIN_INTRODUCED = 17,
    XS_RESUME = 18,
    XS_SET_TARGET = 19,
    XS_RESET_WATCHES = 21,
    XS_DIRECTORY_PART = 22,
    XS_TYPE_COUNT = 23,
    XS_INVALID = 0xffff,
};
inline constexpr xsd_sockmsg_type XS_DEBUG = XS_CONTROL;

enum xs_watch_type : uint32_t { XS_WATCH_PATH = 0, XS_WATCH_TOKEN = 1 };

struct xsd_sockmsg {
    uint32_t type;   // XS_*
    uint32_t req_id; // echoed in the reply
    uint32_t tx_id;  // transaction, or 0
    uint32_t len;    // bytes that follow
};
static_assert(sizeof(xsd_sockmsg) == 16);

inline constexpr unsigned XENSTORE_RING_SIZE = 1024;
inline constexpr unsigned XENSTORE_PAYLOAD_MAX = 4096;
inline constexpr unsigned XENSTORE_ABS_PATH_MAX = 3072;
inline constexpr unsigned XENSTORE_REL_PATH_MAX = 2048;

using XENSTORE_RING_IDX = uint32_t; // runs freely; masked by MASK_XENSTORE_IDX on use
[[nodiscard]] constexpr uint32_t MASK_XENSTORE_IDX(XENSTORE_RING_IDX idx) {
    return idx & (XENSTORE_RING_SIZE - 1);
}

struct xenstore_domain_interface {
    char req[XENSTORE_RING_SIZE]; // from the guest
    char rsp[XENSTORE_RING_SIZE]; // replies and watch events
    XENSTORE_RING_IDX req_cons;
    XENSTORE_RING_IDX req_prod;
    XENSTORE_RING_IDX rsp_cons;
    XENSTORE_RING_IDX rsp_prod;
    uint32_t server_features; // XENSTORE_SERVER_FEATURE_*
    uint32_t connection;      // XENSTORE_CONNECTED, XENSTORE_RECONNECT
    uint32_t error;           // XENSTORE_ERROR_*
};
static_assert(sizeof(xenstore_domain_interface) == 2076);

inline constexpr uint32_t XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
inline constexpr uint32_t XENSTORE_SERVER_FEATURE_ERROR = 2;
inline constexpr uint32_t XENSTORE_CONNECTED = 0;
inline constexpr uint32_t XENSTORE_RECONNECT = 1;
inline constexpr uint32_t XENSTORE_ERROR_NONE = 0;
inline constexpr uint32_t XENSTORE_ERROR_COMM = 1;
inline constexpr uint32_t XENSTORE_ERROR_RINGIDX = 2;
inline constexpr uint32_t XENSTORE_ERROR_PROTO = 3;

} // namespace parapet::abi
