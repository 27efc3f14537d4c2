// SPDX-License-Identifier: Apache-2.0
// The Linux KVM API as three owners of descriptors. Documentation/virt/kvm/api.rst of Linux is the source.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <linux/kvm.h>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace parapet::vmm {

/// What an ioctl's failure means, as a sentence's tail.
[[nodiscard]] Error kvm_error(const char* what);

using CpuidTable = std::vector<kvm_cpuid_entry2>;

/// /dev/kvm.
class KvmSystem {
public:
    static Result<KvmSystem> open();
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] int extension(int capability) const;
    [[nodiscard]] Result<CpuidTable> supported_cpuid() const;

private:
    explicit KvmSystem(UniqueFd fd) : fd_{std::move(fd)} {}
    UniqueFd fd_;
};

/// One VM with an in-kernel interrupt controller.
class KvmVm {
public:
    static Result<KvmVm> create(const KvmSystem& system);
    [[nodiscard]] int fd() const { return fd_.get(); }

    Result<void> add_memory(std::uint32_t slot, std::uint64_t guest_address, void* host, std::uint64_t bytes);
    /// A byte written to `port` signals `eventfd` without leaving the host kernel.
    Result<void> bind_doorbell(std::uint16_t port, int eventfd);
    /// A signal of `eventfd` raises `vector` at the vCPU with that APIC id.
    Result<void> bind_interrupt(int eventfd, std::uint8_t vector, std::uint32_t apic_id);

private:
    explicit KvmVm(UniqueFd fd) : fd_{std::move(fd)} {}
    UniqueFd fd_;
};

class KvmVcpu {
public:
    static Result<KvmVcpu> create(const KvmSystem& system, const KvmVm& vm, unsigned id);
    KvmVcpu(KvmVcpu&&) noexcept;
    KvmVcpu& operator=(KvmVcpu&&) = delete;
    ~KvmVcpu();

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] kvm_run& state() const { return *run_; }
    Result<void> set_cpuid(const CpuidTable& table);
    [[nodiscard]] Result<std::uint64_t> get_msr(std::uint32_t index);
    Result<void> set_msrs(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& msrs);
    /// KVM's own counters of this vCPU (KVM_GET_STATS_FD), by name; empty where the host has none.
    [[nodiscard]] std::map<std::string, std::uint64_t> statistics() const;

private:
    KvmVcpu(UniqueFd fd, kvm_run* run, std::size_t run_size) : fd_{std::move(fd)}, run_{run}, run_size_{run_size} {}
    UniqueFd fd_;
    kvm_run* run_;
    std::size_t run_size_;
};

} // namespace parapet::vmm
