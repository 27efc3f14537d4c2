// SPDX-License-Identifier: Apache-2.0
// What a disk did, counted by the I/O thread and read by any other.
#pragma once

#include "backends/io/counter.hpp"

namespace parapet::disk {

using io::Counter;

struct Counters {
    Counter reads, writes, flushes, discards;
    Counter bytes_read, bytes_written, bytes_discarded;
    Counter indirect, merged; ///< of the reads and writes: with indirect segments; segments that joined the one before
    Counter errors, retries;  ///< of the target
    Counter refused;          ///< requests that the guest made wrongly
    Counter throttled, signals;
};

} // namespace parapet::disk
