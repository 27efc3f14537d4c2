// SPDX-License-Identifier: Apache-2.0
// IoThread::after() for owners that may go before the time has come.
#pragma once

#include "backends/io/io_thread.hpp"

#include <functional>
#include <utility>

namespace parapet::net {

class Timer {
public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { cancel(); }

    [[nodiscard]] bool running() const { return shot_ != nullptr; }
    /// Calls `what` once after `delay`; does nothing if it is running.
    void start(io::IoThread& io, std::chrono::nanoseconds delay, std::function<void()> what) {
        if (shot_ == nullptr) {
            shot_ = new Shot{this, std::move(what)};
            io.after(delay, *shot_);
        }
    }
    void cancel() {
        if (shot_ != nullptr) {
            std::exchange(shot_, nullptr)->owner = nullptr;
        }
    }

private:
    struct Shot final : io::Completion { // its own owner until it has fired
        Shot(Timer* timer, std::function<void()> then) : owner{timer}, what{std::move(then)} {}
        void complete(int, unsigned) override {
            const auto then = owner != nullptr ? std::move(what) : std::function<void()>{};
            if (owner != nullptr) {
                owner->shot_ = nullptr;
            }
            delete this;
            if (then) {
                then();
            }
        }
        Timer* owner;
        std::function<void()> what;
    };
    Shot* shot_ = nullptr;
};

} // namespace parapet::net
