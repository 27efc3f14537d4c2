// SPDX-License-Identifier: Apache-2.0
// MSRs by the guest kernel: the bases work, others read or fault, none of it hurts.
#include <initializer_list>

#include "guests/conformance/processor.hpp"

namespace parapet::guest {

const char* const test_name = "msr";

namespace {

constexpr uint32_t msr_efer = 0xc0000080, msr_star = 0xc0000081, msr_lstar = 0xc0000082, msr_fs_base = 0xc0000100,
                   msr_gs_base = 0xc0000101, msr_gs_shadow = 0xc0000102, msr_apic_base = 0x1b, msr_unknown = 0x12345678;

} // namespace

void test() {
    uint64_t value = 0;
    for (const uint32_t number : {msr_fs_base, msr_gs_base, msr_gs_shadow}) {
        expect_trap(write_msr(number, 0x123456789000), no_trap, 0, "write a base");
        expect_trap(read_msr(number, value), no_trap, 0, "read a base");
        expect(value == 0x123456789000, "base %x is %lx", number, value);
        expect_trap(write_msr(number, 0x800000000000), vector_gp, 0, "a non-canonical base");
        expect_trap(write_msr(number, 0), no_trap, 0, "write 0");
    }
    expect_trap(read_msr(msr_efer, value), no_trap, 0, "read EFER");
    expect((value & 0x501) == 0x501, "EFER is %lx without SCE, LME or LMA", value);
    expect_trap(read_msr(msr_unknown, value), vector_gp, 0, "read of an MSR that is not there");
    expect_trap(write_msr(msr_unknown, 0), vector_gp, 0, "write of an MSR that is not there");
    // Whatever the answer to these, the hypervisor's own entry points are not ours to move.
    const Caught lstar = write_msr(msr_lstar, 0x1000);
    print("info: write of LSTAR: vector %d\n", static_cast<int>(lstar.vector));
    print("info: write of STAR: vector %d\n", static_cast<int>(write_msr(msr_star, 0).vector));
    print("info: write of EFER: vector %d\n", static_cast<int>(write_msr(msr_efer, 0).vector));
    print("info: read of APIC_BASE: vector %d\n", static_cast<int>(read_msr(msr_apic_base, value).vector));
    expect(xen_version(XENVER_version, nullptr) > 0, "hypercalls do not work any more");
}

} // namespace parapet::guest
