// SPDX-License-Identifier: Apache-2.0
#include "vmm/substrate.hpp"

#include <cpuid.h>
#include <fstream>
#include <sstream>

namespace parapet::vmm {

namespace {

constexpr std::uint64_t manageable_xcr0 = 0xe7; // x87, SSE, AVX, AVX-512: state that XSAVE at ring 3 can switch

/// Is this word among the processor's flags?
bool cpu_has(const std::string& wanted) {
    std::ifstream file{"/proc/cpuinfo"};
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with("flags")) {
            std::istringstream words{line};
            std::string word;
            while (words >> word) {
                if (word == wanted) {
                    return true;
                }
            }
            return false;
        }
    }
    return false;
}

std::uint64_t host_xcr0() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) {
        return 0;
    }
    std::uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32 | low) & manageable_xcr0;
}

std::uint64_t supported_xcr0(const CpuidTable& table) {
    for (const kvm_cpuid_entry2& entry : table) {
        if (entry.function == 0xd && entry.index == 0) {
            return (static_cast<std::uint64_t>(entry.edx) << 32 | entry.eax) & manageable_xcr0;
        }
    }
    return 0;
}

} // namespace

Result<Substrate> probe_substrate(const KvmSystem& system) {
    Substrate facts;
    if (cpu_has("vmx") || cpu_has("svm")) {
        facts.name = cpu_has("vmx") ? "kvm_intel" : "kvm_amd";
        auto table = system.supported_cpuid();
        if (!table) {
            return table.error();
        }
        facts.xcr0 = supported_xcr0(*table);
        return facts;
    }
    // KVM without hardware support: what was measured there is in docs/substrates.md.
    facts.name = "kvm-pvm";
    facts.ring3_native = true;
    facts.syscall_arrival = doorbell::SyscallArrival::page_fault;
    facts.m2p_slot = doorbell::M2P_SLOT_OTHER;
    facts.home = doorbell::Home::ring3;
    facts.xcr0 = host_xcr0();
    return facts;
}

} // namespace parapet::vmm
