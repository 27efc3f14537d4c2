// SPDX-License-Identifier: Apache-2.0
// CPUID with the forced-emulation prefix: the hypervisor's leaves, and no features that PV cannot have.
#include "guests/conformance/processor.hpp"

namespace parapet::guest {

const char* const test_name = "cpuid";

namespace {

constexpr bool bit(uint32_t word, unsigned number) {
    return (word >> number & 1) != 0;
}

} // namespace

void test() {
    uint32_t base = 0;
    for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
        const CpuidLeaf got = forced_cpuid(leaf);
        const uint32_t signature[3] = {got.ebx, got.ecx, got.edx};
        if (memcmp(signature, "XenVMMXenVMM", 12) == 0) {
            base = leaf;
            break;
        }
    }
    if (expect(base != 0, "no XenVMMXenVMM leaf")) {
        expect(forced_cpuid(base).eax >= base + 2, "the highest leaf is %x", forced_cpuid(base).eax);
        expect(forced_cpuid(base + 1).eax >> 16 >= 4, "version %x", forced_cpuid(base + 1).eax);
    }
    const CpuidLeaf basic = forced_cpuid(1);
    expect(bit(basic.ecx, 31), "the hypervisor bit is clear");
    expect(bit(basic.edx, 25) && bit(basic.edx, 26), "no SSE2: edx %x", basic.edx);
    expect(!bit(basic.edx, 3), "PSE is offered");
    expect(!bit(basic.edx, 13), "PGE is offered");
    expect(is_initial_domain() || !bit(basic.edx, 12), "MTRR is offered");
    expect(!bit(basic.ecx, 5), "VMX is offered");
    expect(!bit(basic.ecx, 17), "PCID is offered");
    const CpuidLeaf seven = forced_cpuid(7);
    expect(!bit(seven.ebx, 7) && !bit(seven.ebx, 20), "SMEP or SMAP is offered: ebx %x", seven.ebx);
    const CpuidLeaf extended = forced_cpuid(0x80000001);
    expect(bit(extended.edx, 29), "no long mode");
    expect(bit(extended.edx, 11), "no SYSCALL");
    expect(!bit(extended.edx, 26), "1 GiB pages are offered");
    expect(!bit(extended.ecx, 2), "SVM is offered");
    // The prefix in front of something else is an ordinary #UD.
    const Caught got = catch_trap([] { asm volatile(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e; nop"); });
    expect_trap(got, vector_ud, 0, "prefix with nop");
}

} // namespace parapet::guest
