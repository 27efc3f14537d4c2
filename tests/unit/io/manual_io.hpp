// SPDX-License-Identifier: Apache-2.0
// An I/O thread that is the test's or the fuzzer's own: it runs what is due when it is told to, so that a run can be
// repeated exactly. For code that leaves the ring itself to an endpoint or a target.
#pragma once

#include "backends/io/io_thread.hpp"

#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

namespace parapet::io::test {

class ManualIo final : public IoThread {
public:
    void begin(Life) override {}
    void end() override {}
    void post(std::function<void()> what) override { posted_.push_back(std::move(what)); }
    void call(const std::function<void()>& what) override { what(); }
    void forget_memory(std::span<const std::byte* const>) override {}
    [[nodiscard]] IoStatistics statistics() const override { return {}; }
    io_uring_sqe* entry() override { std::abort(); }
    int buffer_index(const void*, std::size_t) override { return -1; }
    [[nodiscard]] bool port_is_free(std::uint32_t port) const override { return !ports_.contains(port); }
    void bind_port(std::uint32_t port, std::function<void()> handler) override { ports_[port] = std::move(handler); }
    void unbind_port(std::uint32_t port) override { ports_.erase(port); }
    void notify(std::uint32_t) override { ++notified; }
    void defer(std::function<void()> what) override { deferred_.push_back(std::move(what)); }
    bool look_again(std::function<void()> what) override {
        if (looks) {
            posted_.push_back(std::move(what));
        }
        return looks;
    }
    [[nodiscard]] std::chrono::nanoseconds moment() const override { return std::chrono::microseconds{looks ? 1 : 0}; }
    void after(std::chrono::nanoseconds, Completion& completion) override { timers_.push_back(&completion); }

    /// The guest's event.
    void kick(std::uint32_t port) {
        if (const auto found = ports_.find(port); found != ports_.end()) {
            const auto handler = found->second;
            handler();
        }
    }
    /// Ends a round, and begins the next with what was posted.
    void round() {
        while (!deferred_.empty()) {
            for (const auto& what : std::exchange(deferred_, {})) {
                what();
            }
        }
        for (const auto& what : std::exchange(posted_, {})) {
            what();
        }
    }
    void fire_timers() {
        for (Completion* timer : std::exchange(timers_, {})) {
            timer->complete(0, 0);
        }
    }
    /// Nothing is due, whatever the time.
    [[nodiscard]] bool idle() const { return deferred_.empty() && posted_.empty(); }
    [[nodiscard]] bool timers_run() const { return !timers_.empty(); }
    unsigned notified = 0;
    bool looks = false; ///< look_again() is served

private:
    std::vector<std::function<void()>> deferred_, posted_;
    std::vector<Completion*> timers_;
    std::map<std::uint32_t, std::function<void()>> ports_;
};

} // namespace parapet::io::test
