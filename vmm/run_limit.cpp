// SPDX-License-Identifier: Apache-2.0
#include "vmm/run_limit.hpp"

#include <csignal>
#include <unistd.h>

namespace parapet::vmm {

RunLimit::RunLimit(std::chrono::milliseconds limit) : end_{std::chrono::steady_clock::now() + limit} {
    const int signal = SIGRTMIN + 4;
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(signal, &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal;
    event._sigev_un._tid = ::gettid();
    armed_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    if (armed_) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
        // Again every 10 ms: one signal could come just before KVM_RUN.
        const itimerspec when{{0, 10'000'000}, {seconds.count(), (limit - seconds).count() * 1'000'000 + 1}};
        (void)::timer_settime(timer_, 0, &when, nullptr);
    }
}

RunLimit::~RunLimit() {
    if (armed_) {
        (void)::timer_delete(timer_);
    }
}

} // namespace parapet::vmm
