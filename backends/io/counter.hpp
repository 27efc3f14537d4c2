// SPDX-License-Identifier: Apache-2.0
// A number that one thread counts and any thread reads, without a locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace parapet::io {

class Counter {
public:
    void add(std::uint64_t count = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

} // namespace parapet::io
