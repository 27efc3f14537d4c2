// SPDX-License-Identifier: Apache-2.0
#include "vmm/substrate.hpp"

#include "vmm/substrate_probe.hpp"

#include <cpuid.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

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

/// Name of the KVM that rests on the processor's own virtualization; null: there is none, or not for certain.
const char* hardware_kvm() {
    const auto loaded = [](const char* module) { return ::access(module, F_OK) == 0; };
    if (cpu_has("vmx") && loaded("/sys/module/kvm_intel")) {
        return "kvm_intel";
    }
    return cpu_has("svm") && loaded("/sys/module/kvm_amd") ? "kvm_amd" : nullptr;
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
    const char* name = hardware_kvm();
    // Where the processor itself runs the VM, the manuals are the facts; the probe costs up to 130 ms in the rig.
    ProbeFindings found{.slot256_works = true};
    if (name == nullptr) {
        constexpr std::chrono::seconds limit{10};
        const auto probed = run_probe(system, limit);
        if (!probed) {
            return probed.error();
        }
        found = *probed;
        name = found.ring0_interpreted ? "kvm-pvm" : "kvm";
    }
    Substrate facts;
    facts.ring3_native = found.ring3_native_cpuid;
    facts.syscall_arrival = found.syscall_arrival;
    facts.m2p_slot = found.slot256_works ? doorbell::M2P_SLOT_ABI : doorbell::M2P_SLOT_OTHER;
    facts.ts_ignored = found.ways.ts_ignored;
    facts.home = found.ring0_interpreted ? doorbell::Home::ring3 : doorbell::Home::ring0;
    auto table = system.supported_cpuid();
    if (!table) {
        return table.error();
    }
    facts.vm_xcr0 = supported_xcr0(*table);
    facts.xcr0 = facts.ring3_native ? host_xcr0() : facts.vm_xcr0;
    // With OSXSAVE in CR4, programs see it in CPUID too; a KVM that lets the VM set less than they use shows them less.
    facts.vm_xcr0 &= facts.xcr0;
    facts.name = name;
    return facts;
}

} // namespace parapet::vmm
