// SPDX-License-Identifier: Apache-2.0
// A batch of hypercalls.
// Source: xen/include/public/xen.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

template <typename W>
struct multicall_entry_t {
    W op;
    W result;
    W args[6];
};
using multicall_entry64 = multicall_entry_t<uint64_t>;
using multicall_entry32 = multicall_entry_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(multicall_entry64) == 64);
static_assert(sizeof(multicall_entry32) == 32);

} // namespace parapet::abi
