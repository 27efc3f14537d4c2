// SPDX-License-Identifier: Apache-2.0
// Privileged instructions of a guest kernel, with what they trap to; CPUID as the hypervisor answers it.
#pragma once

#include "guests/conformance/check.hpp"

namespace parapet::guest {

struct CpuidLeaf {
    uint32_t eax, ebx, ecx, edx;
};

/// By the forced-emulation prefix: ud2a; "xen".
inline CpuidLeaf forced_cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    CpuidLeaf out;
    asm volatile(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e; cpuid"
                 : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
                 : "a"(leaf), "c"(subleaf));
    return out;
}

inline Caught read_msr(uint32_t number, uint64_t& value) {
    return catch_trap([&] {
        uint32_t low;
        uint32_t high;
        asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
        value = static_cast<uint64_t>(high) << 32 | low;
    });
}

inline Caught write_msr(uint32_t number, uint64_t value) {
    return catch_trap([=] {
        asm volatile("wrmsr"
                     :
                     : "a"(static_cast<uint32_t>(value)), "d"(static_cast<uint32_t>(value >> 32)), "c"(number));
    });
}

inline uint64_t read_cr4() {
    uint64_t value;
    asm volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

inline void write_cr4(uint64_t value) {
    asm volatile("mov %0, %%cr4" ::"r"(value));
}

} // namespace parapet::guest
