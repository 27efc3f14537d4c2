// SPDX-License-Identifier: Apache-2.0
// console_io, and the console ring that a domain shares with its console daemon.
// Source: xen/include/public/xen.h, io/console.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned CONSOLEIO_write = 0;
inline constexpr unsigned CONSOLEIO_read = 1;

using XENCONS_RING_IDX = uint32_t; // runs freely; masked by the ring's size on use

struct xencons_interface {
    char in[1024];  // to the guest
    char out[2048]; // from the guest
    XENCONS_RING_IDX in_cons;
    XENCONS_RING_IDX in_prod;
    XENCONS_RING_IDX out_cons;
    XENCONS_RING_IDX out_prod;
};
static_assert(sizeof(xencons_interface) == 3088);

} // namespace parapet::abi
