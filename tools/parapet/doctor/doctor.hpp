// SPDX-License-Identifier: Apache-2.0
// `parapet doctor`: probes collect facts, checks judge them, the report prints the verdicts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace parapet::cli::doctor {

enum class Status {
    ok,
    warn, ///< Domains run; something works less well.
    fail, ///< Domains cannot run.
};

/// One line of the report.
struct Check {
    std::string id;
    Status status = Status::ok;
    std::string detail;
    std::string remedy; ///< Empty when ok.
};

/// What the device itself says.
struct KvmFacts {
    int open_error = 0; ///< errno of opening it, or 0.
    int api_version = 0;
    int create_error = 0;            ///< errno of creating a VM, or 0.
    std::map<int, int> capabilities; ///< KVM_CAP_… → KVM_CHECK_EXTENSION's answer.
};

/// How programs enter ring 0, as the probe found (vmm/substrate_probe.hpp).
struct EntryFacts {
    bool tried = false;
    std::string error{};      ///< why domains cannot run, or empty
    std::string stopped_by{}; ///< a program stops its domain by this; empty: by nothing that was tried
    bool ts_ignored = false;  ///< CR0.TS has no effect at ring 3
};

/// What files and system calls say about the rest.
struct HostFacts {
    bool vmx = false;
    bool svm = false;
    bool hypervisor = false; ///< This machine is itself a virtual machine.
    std::string cpu_model;
    std::string kernel_release;
    bool kvm_intel = false;
    bool kvm_amd = false;
    bool kvm_pvm = false;
    std::string thp;                   ///< "always", "madvise", "never", or empty: unknown.
    std::string thp_shmem;             ///< The same for memfd memory, which a domain's is.
    std::uint64_t free_huge_bytes = 0; ///< In the hugetlb pools.
    std::uint64_t memory_total = 0;
    std::uint64_t memory_available = 0;
    int io_uring_error = 0;              ///< errno of making a ring, or 0.
    int io_uring_disabled = 0;           ///< The sysctl.
    int memfd_error = 0;                 ///< errno of memfd_create, or 0.
    std::uint64_t memlock_bytes = ~0ULL; ///< RLIMIT_MEMLOCK; all ones: unlimited.
    bool root = false;
};

KvmFacts probe_kvm(const std::string& device);

/// Reads files below `root`, as if it were "/"; the system calls are made on this host.
HostFacts probe_host(const std::string& root);

/// By running a VM of a few pages, where there is a /dev/kvm.
EntryFacts probe_entries();

std::vector<Check> diagnose(const KvmFacts& kvm, const HostFacts& host, const EntryFacts& entries = {});

[[nodiscard]] bool can_run(const std::vector<Check>& checks);

std::string text_report(const std::vector<Check>& checks, bool colour);
std::string json_report(const std::vector<Check>& checks);

/// Probes the rest of this host, prints to standard output, returns the exit status.
int run_doctor(bool json, const EntryFacts& entries);

} // namespace parapet::cli::doctor
