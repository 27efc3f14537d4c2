// SPDX-License-Identifier: Apache-2.0
// The argument of XENMEM_exchange (xen/memory.h).
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// `frames` frames of one's own: those of `given`, in extents of 2^in_order, against others, in extents of 2^out_order,
/// whose numbers `taken` receives.
inline xen_memory_exchange exchange_request(xen_pfn_t* given, xen_pfn_t* taken, unsigned frames, unsigned in_order = 0,
                                            unsigned out_order = 0) {
    xen_memory_exchange request{};
    set_xen_guest_handle(request.in.extent_start, given);
    request.in.nr_extents = frames >> in_order;
    request.in.extent_order = in_order;
    request.in.domid = DOMID_SELF;
    set_xen_guest_handle(request.out.extent_start, taken);
    request.out.nr_extents = frames >> out_order;
    request.out.extent_order = out_order;
    request.out.domid = DOMID_SELF;
    return request;
}

} // namespace parapet::guest
