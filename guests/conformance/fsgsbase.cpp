// SPDX-License-Identifier: Apache-2.0
// RDFSBASE and its like: only while the guest kernel's CR4 says so, and of one mind with the MSRs and set_segment_base.
#include <initializer_list>

#include "guests/conformance/processor.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "fsgsbase";

namespace {

constexpr uint32_t msr_fs_base = 0xc0000100, msr_gs_base = 0xc0000101, msr_gs_shadow = 0xc0000102;
constexpr uint64_t cr4_fsgsbase = 1 << 16;

uint64_t user_faults = 0;

void leave_on_trap(TrapFrame& frame) {
    user_faults++;
    expect(frame.vector == vector_ud && frame.rip == user_code, "user mode: vector %lu at %lx", frame.vector,
           frame.rip);
    user_leave(0);
}

long set_segment_base(unsigned which, uint64_t base) {
    return hypercall(__HYPERVISOR_set_segment_base, which, base);
}

uint64_t msr_value(uint32_t number) {
    uint64_t value = 0;
    expect_trap(read_msr(number, value), no_trap, 0, "read of a base");
    return value;
}

Caught read_fs_base(uint64_t& value) {
    return catch_trap([&] { asm volatile("rdfsbase %0" : "=r"(value)); });
}

Caught write_fs_base(uint64_t value) {
    return catch_trap([=] { asm volatile("wrfsbase %0" ::"r"(value)); });
}

Caught read_gs_base(uint64_t& value) {
    return catch_trap([&] { asm volatile("rdgsbase %0" : "=r"(value)); });
}

Caught write_gs_base(uint64_t value) {
    return catch_trap([=] { asm volatile("wrgsbase %0" ::"r"(value)); });
}

/// The instructions are undefined, in either mode.
void none_works(const char* when) {
    uint64_t value = 0;
    expect_trap(read_fs_base(value), vector_ud, 0, when);
    expect_trap(write_fs_base(0), vector_ud, 0, when);
    expect_trap(read_gs_base(value), vector_ud, 0, when);
    expect_trap(write_gs_base(0), vector_ud, 0, when);
    user_faults = 0;
    const TrapHandler before = set_trap_handler(vector_ud, leave_on_trap);
    RUN_USER(user_read_fs_base, 0);
    set_trap_handler(vector_ud, before);
    expect(user_faults == 1, "%s: user mode may read its FS base", when);
}

void kernel_mode() {
    uint64_t value = 0;
    expect_trap(write_fs_base(0x7f0012345678), no_trap, 0, "wrfsbase");
    expect(msr_value(msr_fs_base) == 0x7f0012345678, "wrfsbase, then the MSR: %lx", msr_value(msr_fs_base));
    expect_trap(write_msr(msr_fs_base, 0x7f0000001000), no_trap, 0, "write of the MSR");
    expect_trap(read_fs_base(value), no_trap, 0, "rdfsbase");
    expect(value == 0x7f0000001000, "the MSR, then rdfsbase: %lx", value);
    expect_result(set_segment_base(SEGBASE_FS, 0x7f0000002000), 0, "set_segment_base");
    expect_trap(read_fs_base(value), no_trap, 0, "rdfsbase");
    expect(value == 0x7f0000002000, "set_segment_base, then rdfsbase: %lx", value);
    expect_trap(write_gs_base(0xffff888000003000), no_trap, 0, "wrgsbase");
    expect(msr_value(msr_gs_base) == 0xffff888000003000, "wrgsbase, then the MSR: %lx", msr_value(msr_gs_base));
    expect_trap(write_msr(msr_gs_base, 0x4000), no_trap, 0, "write of the MSR");
    expect_trap(read_gs_base(value), no_trap, 0, "rdgsbase");
    expect(value == 0x4000, "the MSR, then rdgsbase: %lx", value);
    // QEMU's emulator takes what is no canonical address.
    for (const Caught& got : {write_fs_base(0x800000000000), write_gs_base(0x800000000000)})
        expect(got.vector == no_trap || got.vector == vector_gp, "a base that is no canonical address: vector %d",
               static_cast<int>(got.vector));
}

/// What user mode sets is its own, is kept, and is what the kernel sees as the other GS base.
void user_mode() {
    expect_trap(write_gs_base(0x5000), no_trap, 0, "wrgsbase");
    expect_trap(write_msr(msr_gs_shadow, 0x6000), no_trap, 0, "write of the user's GS base");
    const uint64_t before = RUN_USER(user_swap_gs_base, 0x7000);
    expect(before == 0x6000, "user mode finds GS base %lx", before);
    expect(msr_value(msr_gs_shadow) == 0x7000, "wrgsbase of user mode, then the MSR: %lx", msr_value(msr_gs_shadow));
    expect(msr_value(msr_gs_base) == 0x5000, "the kernel's GS base is now %lx", msr_value(msr_gs_base));
    const uint64_t after = RUN_USER(user_swap_gs_base, 0);
    expect(after == 0x7000, "user mode finds GS base %lx after a system call", after);
    expect_result(set_segment_base(SEGBASE_GS_USER, 0x8000), 0, "set_segment_base");
    const uint64_t set = RUN_USER(user_swap_gs_base, 0);
    expect(set == 0x8000, "user mode finds GS base %lx after set_segment_base", set);
    expect_trap(write_fs_base(0x9000), no_trap, 0, "wrfsbase");
    const uint64_t fs = RUN_USER(user_swap_fs_base, 0xa000);
    expect(fs == 0x9000, "user mode finds FS base %lx", fs);
    expect(msr_value(msr_fs_base) == 0xa000, "wrfsbase of user mode, then the MSR: %lx", msr_value(msr_fs_base));
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode"))
        return;
    const uint64_t cr4 = read_cr4() & ~cr4_fsgsbase;
    write_cr4(cr4);
    none_works("CR4.FSGSBASE clear");
    write_cr4(cr4 | cr4_fsgsbase);
    if ((forced_cpuid(7).ebx & 1) == 0) {
        print("info: FSGSBASE is not offered\n");
        expect((read_cr4() & cr4_fsgsbase) == 0, "CR4.FSGSBASE is set without the feature");
        none_works("without the feature");
        return;
    }
    expect((read_cr4() & cr4_fsgsbase) != 0, "CR4.FSGSBASE cannot be set");
    kernel_mode();
    user_mode();
    write_cr4(cr4);
    expect((read_cr4() & cr4_fsgsbase) == 0, "CR4.FSGSBASE cannot be cleared");
    none_works("CR4.FSGSBASE clear again");
}

} // namespace parapet::guest
