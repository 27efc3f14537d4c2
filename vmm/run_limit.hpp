// SPDX-License-Identifier: Apache-2.0
// Interrupts the calling thread's KVM_RUN again and again once a time limit has passed.
#pragma once

#include <chrono>
#include <ctime>

namespace parapet::vmm {

class RunLimit {
public:
    explicit RunLimit(std::chrono::milliseconds limit);
    ~RunLimit();
    RunLimit(const RunLimit&) = delete;
    RunLimit& operator=(const RunLimit&) = delete;

    [[nodiscard]] bool over() const { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::steady_clock::time_point end_;
    timer_t timer_{};
    bool armed_ = false;
};

} // namespace parapet::vmm
