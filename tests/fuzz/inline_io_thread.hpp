// SPDX-License-Identifier: Apache-2.0
// An I/O thread without a thread or a ring, for fuzzers: the driver says when posted, deferred and delayed work runs.
#pragma once

#include "backends/io/io_thread.hpp"

#include <cstdlib>
#include <utility>
#include <vector>

namespace parapet::fuzz {

class InlineIoThread final : public io::IoThread {
public:
    void begin(Life) override {}
    void end() override {}
    void post(std::function<void()> what) override { posted_.push_back(std::move(what)); }
    void call(const std::function<void()>& what) override { what(); }
    void forget_memory(std::span<const std::byte* const>) override {}
    [[nodiscard]] io::IoStatistics statistics() const override { return {}; }
    io_uring_sqe* entry() override { std::abort(); }
    int buffer_index(const void*, std::size_t) override { return -1; }
    [[nodiscard]] bool port_is_free(std::uint32_t) const override { return true; }
    void bind_port(std::uint32_t, std::function<void()> handler) override { handler_ = std::move(handler); }
    void unbind_port(std::uint32_t) override { handler_ = nullptr; }
    void notify(std::uint32_t) override {}
    void defer(std::function<void()> what) override { deferred_.push_back(std::move(what)); }
    void after(std::chrono::nanoseconds, io::Completion& completion) override { delayed_.push_back(&completion); }

    void kick() {
        if (handler_) {
            const auto handler = handler_;
            handler();
        }
    }
    void finish_round() {
        while (!posted_.empty() || !deferred_.empty()) {
            for (auto* list : {&posted_, &deferred_}) {
                for (const auto& what : std::exchange(*list, {})) {
                    what();
                }
            }
        }
    }
    void run_delayed() {
        for (io::Completion* completion : std::exchange(delayed_, {})) {
            completion->complete(0, 0);
        }
    }
    [[nodiscard]] bool idle() const { return posted_.empty() && deferred_.empty() && delayed_.empty(); }

private:
    std::function<void()> handler_;
    std::vector<std::function<void()>> posted_, deferred_;
    std::vector<io::Completion*> delayed_;
};

} // namespace parapet::fuzz
