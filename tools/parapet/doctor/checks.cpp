// SPDX-License-Identifier: Apache-2.0
// Judges the facts. Each check is a function of the facts alone.
#include "tools/parapet/doctor/doctor.hpp"
#include "tools/parapet/quantities.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/kvm.h>
#include <string_view>

namespace parapet::cli::doctor {
namespace {

constexpr std::uint64_t mib = 1ULL << 20;

Check ok(std::string id, std::string detail) {
    return {std::move(id), Status::ok, std::move(detail), {}};
}
Check warn(std::string id, std::string detail, std::string remedy) {
    return {std::move(id), Status::warn, std::move(detail), std::move(remedy)};
}
Check fail(std::string id, std::string detail, std::string remedy) {
    return {std::move(id), Status::fail, std::move(detail), std::move(remedy)};
}

Check processor(const KvmFacts& kvm, const HostFacts& host) {
    const std::string model = host.cpu_model.empty() ? "unknown processor" : host.cpu_model;
    if (host.vmx || host.svm) {
        return ok("processor", model + ", with " + (host.vmx ? "VMX" : "SVM"));
    }
    if (kvm.open_error != ENOENT) {
        return ok("processor", model + ", no VMX or SVM (its KVM does without)");
    }
    return warn("processor", model + ", no VMX or SVM",
                host.hypervisor ? "turn on nested virtualization where this virtual machine runs"
                                : "turn on virtualization (VT-x or AMD-V) in the firmware");
}

Check device(const KvmFacts& kvm, const HostFacts& host) {
    switch (kvm.open_error) {
    case 0:
        return ok("kvm-device", "/dev/kvm can be opened");
    case EACCES:
    case EPERM:
        return fail("kvm-device", "no right to use /dev/kvm", "sudo usermod -aG kvm $USER, then log in again");
    case ENOENT:
        if (host.vmx || host.svm) {
            return fail("kvm-device", "no /dev/kvm",
                        std::string{"sudo modprobe "} + (host.vmx ? "kvm_intel" : "kvm_amd") +
                            ", and turn virtualization on in the firmware");
        }
        return fail("kvm-device", "no /dev/kvm, and a processor without VMX or SVM",
                    "use a machine with KVM, or try it in the emulated one: tools/laptop");
    default:
        return fail("kvm-device", std::string{"/dev/kvm cannot be opened: "} + std::strerror(kvm.open_error),
                    "look at 'dmesg | grep -i kvm'");
    }
}

Check version(const KvmFacts& kvm) {
    if (kvm.api_version != KVM_API_VERSION) {
        return fail("kvm-version", "KVM API version " + std::to_string(kvm.api_version) + ", not 12",
                    "use Linux 5.10 or later");
    }
    if (kvm.create_error != 0) {
        return fail("kvm-version", std::string{"KVM makes no VM: "} + std::strerror(kvm.create_error),
                    kvm.create_error == EBUSY ? "stop the other hypervisor (VirtualBox, VMware)"
                                              : "look at 'dmesg | grep -i kvm'");
    }
    return ok("kvm-version", "KVM API version 12, a VM can be made");
}

Check substrate(const HostFacts& host) {
    const std::string nested = host.hypervisor ? ", itself in a virtual machine: exits cost more" : "";
    if (host.vmx && host.kvm_intel) {
        return ok("substrate", "hardware KVM, kvm_intel" + nested);
    }
    if (host.svm && host.kvm_amd) {
        return ok("substrate", "hardware KVM, kvm_amd" + nested);
    }
    if (!host.vmx && !host.svm) {
        return ok("substrate", std::string{"KVM without hardware support ("} +
                                   (host.kvm_pvm ? "kvm_pvm" : "unknown module") + "): ring 0 is interpreted");
    }
    return warn("substrate", "KVM of unknown kind", "please report this machine's lsmod and /proc/cpuinfo");
}

Check entries_check(const EntryFacts& entries) {
    if (!entries.error.empty()) {
        return fail("entries", entries.error, "use a host with VMX or SVM");
    }
    if (!entries.stopped_by.empty()) {
        return warn("entries", "a program can stop its domain by " + entries.stopped_by,
                    "run nobody's programs here whom the domain's owner does not trust");
    }
    return ok("entries",
              entries.ts_ignored
                  ? "programs enter ring 0 as expected; CR0.TS has no effect, so #NM is raised at each switch"
                  : "programs enter ring 0 as expected");
}

struct Needed {
    int capability;
    std::string_view name;
};

/// Names of those that KVM does not offer, comma-separated.
template <std::size_t count>
std::string missing(const KvmFacts& kvm, const std::array<Needed, count>& needed) {
    std::string names;
    for (const Needed& entry : needed) {
        const auto found = kvm.capabilities.find(entry.capability);
        if (found == kvm.capabilities.end() || found->second <= 0) {
            names += (names.empty() ? "" : ", ") + std::string{entry.name};
        }
    }
    return names;
}

Check features(const KvmFacts& kvm) {
    static constexpr std::array<Needed, 9> needed{{{KVM_CAP_USER_MEMORY, "USER_MEMORY"},
                                                   {KVM_CAP_IRQCHIP, "IRQCHIP"},
                                                   {KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER"},
                                                   {KVM_CAP_IOEVENTFD, "IOEVENTFD"},
                                                   {KVM_CAP_IRQFD, "IRQFD"},
                                                   {KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI"},
                                                   {KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING"},
                                                   {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
                                                   {KVM_CAP_EXT_CPUID, "EXT_CPUID"}}};
    const std::string names = missing(kvm, needed);
    return names.empty() ? ok("kvm-features", "all that domains need")
                         : fail("kvm-features", "KVM lacks " + names, "use Linux 5.10 or later");
}

Check extras(const KvmFacts& kvm) {
    static constexpr std::array<Needed, 3> wanted{{{KVM_CAP_BINARY_STATS_FD, "BINARY_STATS_FD (exits in --stats)"},
                                                   {KVM_CAP_SET_GUEST_DEBUG, "SET_GUEST_DEBUG (instruction counts)"},
                                                   {KVM_CAP_GET_TSC_KHZ, "GET_TSC_KHZ (exact clock)"}}};
    const std::string names = missing(kvm, wanted);
    return names.empty() ? ok("kvm-extras", "statistics and single-stepping")
                         : warn("kvm-extras", "KVM lacks " + names, "use Linux 5.15 or later");
}

Check vcpus(const KvmFacts& kvm) {
    const auto found = kvm.capabilities.find(KVM_CAP_MAX_VCPUS);
    const int most = found == kvm.capabilities.end() ? 0 : found->second;
    return most >= 1 ? ok("vcpus", "up to " + std::to_string(most) + " per domain")
                     : warn("vcpus", "KVM does not say how many it supports", "use Linux 5.10 or later");
}

Check io_uring_check(const HostFacts& host) {
    if (host.io_uring_error == 0) {
        return ok("io-uring", "usable");
    }
    const std::string why = std::strerror(host.io_uring_error);
    if (host.io_uring_disabled != 0) {
        return warn("io-uring", "off by sysctl (" + why + ")", "sudo sysctl kernel.io_uring_disabled=0");
    }
    return warn("io-uring", "not usable (" + why + ")",
                host.io_uring_error == ENOMEM ? "raise 'ulimit -l'"
                                              : "allow io_uring in this container's seccomp profile");
}

Check memfd_check(const HostFacts& host) {
    return host.memfd_error == 0 ? ok("memfd", "usable")
                                 : fail("memfd", std::string{"no memfd: "} + std::strerror(host.memfd_error),
                                        "allow memfd_create in this container's seccomp profile");
}

Check huge_pages(const HostFacts& host) {
    const std::string pools =
        host.free_huge_bytes == 0 ? "" : "; " + format_size(host.free_huge_bytes) + " free in hugetlb pools";
    if (host.thp_shmem.empty()) {
        return ok("huge-pages", "none for shared memory" + pools);
    }
    const bool off = host.thp_shmem == "never" || host.thp_shmem == "deny";
    return ok("huge-pages",
              "transparent ones for domains: " + host.thp_shmem +
                  (off ? " (fine; 'advise' in /sys/kernel/mm/transparent_hugepage/shmem_enabled is faster)" : "") +
                  pools);
}

Check memory(const HostFacts& host) {
    if (host.memory_total == 0) {
        return warn("memory", "unknown", "mount /proc");
    }
    const std::string detail =
        std::to_string(host.memory_available / mib) + "M available of " + std::to_string(host.memory_total / mib) + "M";
    if (host.memory_available < 32 * mib) {
        return fail("memory", detail, "free some memory: a small domain needs 32M");
    }
    return host.memory_available >= 600 * mib
               ? ok("memory", detail)
               : warn("memory", detail, "less than the default domain of 512M needs: use a smaller --memory");
}

Check locked_memory(const HostFacts& host) {
    if (host.root || host.memlock_bytes == ~0ULL) {
        return ok("memlock", "no limit");
    }
    const std::string detail = "limit of locked memory " + format_size(host.memlock_bytes);
    return host.memlock_bytes >= 8 * mib
               ? ok("memlock", detail)
               : warn("memlock", detail, "raise 'ulimit -l' to 8M for zero-copy block and network devices");
}

} // namespace

std::vector<Check> diagnose(const KvmFacts& kvm, const HostFacts& host, const EntryFacts& entries) {
    std::vector<Check> checks{processor(kvm, host), device(kvm, host)};
    if (kvm.open_error == 0) {
        checks.push_back(version(kvm));
        checks.push_back(substrate(host));
        if (entries.tried) {
            checks.push_back(entries_check(entries));
        }
        checks.push_back(features(kvm));
        checks.push_back(extras(kvm));
        checks.push_back(vcpus(kvm));
    }
    checks.push_back(memfd_check(host));
    checks.push_back(io_uring_check(host));
    checks.push_back(huge_pages(host));
    checks.push_back(memory(host));
    checks.push_back(locked_memory(host));
    return checks;
}

bool can_run(const std::vector<Check>& checks) {
    return std::none_of(checks.begin(), checks.end(), [](const Check& check) { return check.status == Status::fail; });
}

} // namespace parapet::cli::doctor
