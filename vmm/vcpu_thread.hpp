// SPDX-License-Identifier: Apache-2.0
// The thread that runs a vCPU, and its exits to this process.
#pragma once

#include "vmm/kvm.hpp"
#include "vmm/requests.hpp"
#include "vmm/step_counter.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

namespace parapet::vmm {

class VcpuThread {
public:
    /// `ended` is called once, on the thread, when the domain is over.
    VcpuThread(KvmVcpu& vcpu, RequestServer& requests, std::function<void(DomainStop)> ended);
    ~VcpuThread();
    VcpuThread(const VcpuThread&) = delete;
    VcpuThread& operator=(const VcpuThread&) = delete;

    /// Count instructions; before start(). Null: don't.
    void count_steps(std::unique_ptr<StepCounter> counter) { steps_ = std::move(counter); }
    void start();
    /// Make the vCPU leave the guest and end with DomainStop::Kind::asked. Any thread.
    void stop();
    void join();

    /// Exits to this process by reason; to be read after join().
    [[nodiscard]] std::map<std::string, std::uint64_t> exits() const;

private:
    void run();
    DomainStop run_until_stop();
    DomainStop unexpected_exit();

    KvmVcpu& vcpu_;
    RequestServer& requests_;
    std::function<void(DomainStop)> ended_;
    std::atomic<bool> stop_{false};
    std::array<std::uint64_t, 64> exits_{};
    std::unique_ptr<StepCounter> steps_;
    std::thread thread_;
};

} // namespace parapet::vmm
