// SPDX-License-Identifier: Apache-2.0
// CPUID faulting: with MSR_MISC_FEATURES_ENABLES set, CPUID of user mode is a #GP; the kernel's is not.
#include "guests/conformance/processor.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "cpuid_faulting";

namespace {

constexpr uint32_t msr_platform_info = 0xce, msr_misc_features_enables = 0x140;
constexpr uint64_t cpuid_faulting = 1ULL << 31, prefix_size = 5;

TrapFrame last;
unsigned traps = 0;

void leave_on_trap(TrapFrame& frame) {
    last = frame;
    traps++;
    user_leave(0);
}

uint64_t enabled() {
    uint64_t value = ~0ULL;
    expect_trap(read_msr(msr_misc_features_enables, value), no_trap, 0, "read of MISC_FEATURES_ENABLES");
    return value;
}

void expect_user_fault(uint64_t offset, const char* what) {
    expect(traps == 1 && last.vector == vector_gp && last.error_code == 0, "%s: %u traps, vector %lu code %lx", what,
           traps, last.vector, last.error_code);
    expect(last.rip == user_code + offset, "%s: rip %lx", what, last.rip);
    traps = 0;
}

void user_mode_works(const char* when) {
    traps = 0;
    expect(RUN_USER(user_cpuid, 0) != 0 && traps == 0, "%s: CPUID of user mode", when);
    expect(RUN_USER(user_forced_cpuid, 0) != 0 && traps == 0, "%s: forced CPUID of user mode", when);
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode"))
        return;
    uint64_t info = 0;
    expect_trap(read_msr(msr_platform_info, info), no_trap, 0, "read of PLATFORM_INFO");
    expect((info & ~cpuid_faulting) == 0, "PLATFORM_INFO is %lx", info);
    expect_trap(write_msr(msr_platform_info, info), vector_gp, 0, "write of PLATFORM_INFO");
    expect(enabled() == 0, "MISC_FEATURES_ENABLES is %lx at the start", enabled());
    expect_trap(write_msr(msr_misc_features_enables, 0), no_trap, 0, "nothing enabled");
    expect_trap(write_msr(msr_misc_features_enables, 2), vector_gp, 0, "a feature that is not there");
    if ((info & cpuid_faulting) == 0) {
        print("info: CPUID faulting is not offered\n");
        expect_trap(write_msr(msr_misc_features_enables, 1), vector_gp, 0, "CPUID faulting that is not offered");
        return;
    }
    user_mode_works("before");
    const uint32_t plain = forced_cpuid(0).eax;
    expect_trap(write_msr(msr_misc_features_enables, 1), no_trap, 0, "CPUID faulting");
    expect(enabled() == 1, "MISC_FEATURES_ENABLES is %lx", enabled());
    uint32_t eax = 0;
    expect_trap(catch_trap([&] {
                    asm volatile("cpuid" : "+a"(eax) : : "rbx", "rcx", "rdx");
                }),
                no_trap, 0, "CPUID of the kernel");
    expect(eax == plain && forced_cpuid(0).eax == plain, "the kernel sees %x leaves instead of %x", eax, plain);
    const TrapHandler before = set_trap_handler(vector_gp, leave_on_trap);
    RUN_USER(user_cpuid, 0);
    expect_user_fault(2, "CPUID of user mode"); // behind the mov
    RUN_USER(user_forced_cpuid, 0);
    expect_user_fault(2 + prefix_size, "forced CPUID of user mode");
    set_trap_handler(vector_gp, before);
    expect_trap(write_msr(msr_misc_features_enables, 0), no_trap, 0, "no CPUID faulting");
    user_mode_works("afterwards");
}

} // namespace parapet::guest
