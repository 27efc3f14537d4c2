// SPDX-License-Identifier: Apache-2.0
// What a disk did, counted by the I/O thread and read by any other.
#pragma once

#include <atomic>
#include <cstdint>

namespace parapet::disk {

/// One thread writes, so that no locked instruction is needed.
class Counter {
public:
    void add(std::uint64_t more = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_ = 0;
};

struct Counters {
    Counter reads, writes, flushes, discards;
    Counter bytes_read, bytes_written, bytes_discarded;
    Counter indirect, merged; ///< of the reads and writes: with indirect segments; segments that joined the one before
    Counter errors, retries;  ///< of the target
    Counter refused;          ///< requests that the guest made wrongly
    Counter throttled, signals;
};

} // namespace parapet::disk
