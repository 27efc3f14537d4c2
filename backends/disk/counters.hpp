// SPDX-License-Identifier: Apache-2.0
// What a disk did, counted by the I/O thread and read by any other.
#pragma once

#include <atomic>
#include <boost/json/object.hpp>
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

    [[nodiscard]] boost::json::object as_json() const {
        return {{"reads", reads.value()},
                {"writes", writes.value()},
                {"flushes", flushes.value()},
                {"discards", discards.value()},
                {"bytes_read", bytes_read.value()},
                {"bytes_written", bytes_written.value()},
                {"bytes_discarded", bytes_discarded.value()},
                {"indirect", indirect.value()},
                {"merged", merged.value()},
                {"errors", errors.value()},
                {"retries", retries.value()},
                {"refused", refused.value()},
                {"throttled", throttled.value()},
                {"signals", signals.value()}};
    }
};

} // namespace parapet::disk
