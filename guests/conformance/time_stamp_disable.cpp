// SPDX-License-Identifier: Apache-2.0
// CR4.TSD: the time-stamp counter is then the kernel's alone (prctl PR_SET_TSC of Linux), and that of the hypervisor.
#include "guests/conformance/processor.hpp"
#include "guests/conformance/user_snippets.hpp"

namespace parapet::guest {

const char* const test_name = "time_stamp_disable";

namespace {

constexpr uint64_t cr4_tsd = 1 << 2;

uint64_t user_faults = 0;

void leave_on_trap(TrapFrame& frame) {
    ++user_faults;
    expect(frame.rip == user_code && frame.error_code == 0, "user mode: code %lx at %lx", frame.error_code, frame.rip);
    user_leave(0);
}

/// How often a read of the counter in user mode faults.
uint64_t faults_of_user() {
    user_faults = 0;
    const TrapHandler before = set_trap_handler(vector_gp, leave_on_trap);
    const uint64_t counter = RUN_USER(user_read_tsc, 0);
    set_trap_handler(vector_gp, before);
    expect(user_faults != 0 || counter != 0, "user mode reads 0");
    return user_faults;
}

/// The kernel's own reads go on as before, in both ways, and so does what the hypervisor needs a clock for.
void kernel_reads() {
    uint64_t first = 0;
    uint64_t second = 0;
    expect_trap(catch_trap([&] { first = rdtsc(); }), no_trap, 0, "rdtsc of the kernel");
    if ((forced_cpuid(0x80000001).edx & 1u << 27) != 0) {
        expect_trap(catch_trap([&] {
                        uint32_t low;
                        uint32_t high;
                        asm volatile("rdtscp" : "=a"(low), "=d"(high) : : "rcx");
                        second = static_cast<uint64_t>(high) << 32 | low;
                    }),
                    no_trap, 0, "rdtscp of the kernel");
    } else {
        second = rdtsc();
    }
    expect(second > first, "the counter went from %lx to %lx", first, second);
}

void sleeps(evtchn_port_t port) {
    const uint64_t until = now_ns() + 5'000'000;
    clear_port(port);
    expect_result(set_timer_op(until), 0, "set_timer_op");
    wait_for_port(port, until + 1'000'000'000);
    expect(port_pending(port) && now_ns() >= until, "the timer did not come");
}

} // namespace

void test() {
    if (!expect_result(user_init(), 0, "making user mode")) {
        return;
    }
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop the periodic timer");
    const long bound = bind_virq(VIRQ_TIMER);
    if (!expect(bound >= 0, "bind_virq: %ld", bound)) {
        return;
    }
    const auto port = static_cast<evtchn_port_t>(bound);
    mask_port(port);
    const uint64_t cr4 = read_cr4() & ~cr4_tsd;
    expect(faults_of_user() == 0, "user mode may not read the counter at the start");
    for (unsigned round = 0; round < 3; ++round) {
        write_cr4(cr4 | cr4_tsd);
        expect((read_cr4() & cr4_tsd) != 0, "CR4.TSD does not stay");
        kernel_reads();
        expect(faults_of_user() == 1, "user mode reads the counter in spite of CR4.TSD");
        sleeps(port);
        write_cr4(cr4);
        kernel_reads();
        expect(faults_of_user() == 0, "user mode may not read the counter after CR4.TSD was cleared");
        sleeps(port);
    }
}

} // namespace parapet::guest
