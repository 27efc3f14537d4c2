// SPDX-License-Identifier: Apache-2.0
// What every frontend does with a ring of Xen's macros (xen/io/ring.h), whatever its requests are.
#pragma once

#include "guests/lib/events.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

/// Shows the backend what was prepared, and signals it where it asked for that.
template <typename Ring>
void push_requests(Ring& ring, evtchn_port_t port) {
    bool notify;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&ring, notify);
    if (notify) {
        notify_port(port);
    }
}

/// False: no response came in that time.
template <typename Ring>
bool wait_for_response(Ring& ring, evtchn_port_t port, unsigned milliseconds) {
    const uint64_t end = now_ns() + milliseconds * 1'000'000ul;
    for (;;) {
        clear_port(port);
        int more;
        RING_FINAL_CHECK_FOR_RESPONSES(&ring, more);
        if (more != 0 || now_ns() >= end) {
            return more != 0;
        }
        wait_for_port(port, end);
    }
}

/// The next response, where one comes in time.
template <typename Ring, typename Response>
bool take_response(Ring& ring, evtchn_port_t port, unsigned milliseconds, Response& response) {
    if (!wait_for_response(ring, port, milliseconds)) {
        return false;
    }
    response = *RING_GET_RESPONSE(&ring, ring.rsp_cons);
    ++ring.rsp_cons;
    return true;
}

} // namespace parapet::guest
