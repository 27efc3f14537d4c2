// SPDX-License-Identifier: Apache-2.0
// Numbers of one interface, counted on the I/O thread and read on any.
#pragma once

#include "backends/io/counter.hpp"

namespace parapet::net {

using io::Counter;

/// tx and rx as the guest sees them.
struct VifCounters {
    Counter tx_frames, tx_bytes, tx_segmented, tx_dropped, tx_errors;
    Counter rx_frames, rx_bytes, rx_segmented, rx_dropped, rx_errors;
};

} // namespace parapet::net
