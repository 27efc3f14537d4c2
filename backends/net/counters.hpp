// SPDX-License-Identifier: Apache-2.0
// Numbers of one interface, counted on the I/O thread and read on any.
#pragma once

#include <atomic>
#include <cstdint>

namespace parapet::net {

class Counter {
public:
    /// Only one thread counts.
    void add(std::uint64_t count = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// tx and rx as the guest sees them.
struct VifCounters {
    Counter tx_frames, tx_bytes, tx_segmented, tx_dropped, tx_errors;
    Counter rx_frames, rx_bytes, rx_segmented, rx_dropped, rx_errors;
};

} // namespace parapet::net
