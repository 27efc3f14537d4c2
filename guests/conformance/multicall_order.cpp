// SPDX-License-Identifier: Apache-2.0
// multicall: each call takes effect before the next one begins, also where the hypervisor would rather do things later:
// selectors that are loaded, and a vCPU that blocks.
#include "guests/conformance/processor.hpp"

namespace parapet::guest {

const char* const test_name = "multicall_order";

namespace {

constexpr uint32_t msr_gs_shadow = 0xc0000102;
constexpr uint64_t base = 0x7f0012345000;

multicall_entry_t call(unsigned number, uint64_t a0, uint64_t a1 = 0) {
    multicall_entry_t entry{};
    entry.op = number;
    entry.result = 0x5555;
    entry.args[0] = a0;
    entry.args[1] = a1;
    return entry;
}

multicall_entry_t set_base(unsigned which, uint64_t value) {
    return call(__HYPERVISOR_set_segment_base, which, value);
}

template <unsigned count>
void run(multicall_entry_t (&calls)[count], const char* what) {
    expect_result(hypercall(__HYPERVISOR_multicall, calls, count), 0, what);
    for (const multicall_entry_t& entry : calls) {
        expect_result(static_cast<long>(entry.result), 0, what);
    }
}

uint64_t user_gs_base() {
    uint64_t value = 0;
    expect_trap(read_msr(msr_gs_shadow, value), no_trap, 0, "read of the user's GS base");
    return value;
}

/// Of a data segment whose base is 0; a null selector would leave the base alone on some processors.
void selectors() {
    constexpr uint64_t data = FLAT_RING3_SS64;
    multicall_entry_t base_last[] = {set_base(SEGBASE_GS_USER_SEL, data), set_base(SEGBASE_GS_USER, base)};
    run(base_last, "selector, then base");
    expect(user_gs_base() == base, "selector, then base: the base is %lx", user_gs_base());
    multicall_entry_t selector_last[] = {set_base(SEGBASE_GS_USER, base + 1), set_base(SEGBASE_GS_USER_SEL, data)};
    run(selector_last, "base, then selector");
    expect(user_gs_base() == 0, "base, then selector: the base is %lx", user_gs_base());
    multicall_entry_t several[] = {set_base(SEGBASE_GS_USER_SEL, data), set_base(SEGBASE_GS_USER, base + 2),
                                   set_base(SEGBASE_GS_USER_SEL, data), set_base(SEGBASE_GS_USER, base + 3),
                                   set_base(SEGBASE_GS_KERNEL, base + 4)};
    run(several, "selectors and bases");
    expect(user_gs_base() == base + 3, "the last base counts, not %lx", user_gs_base());
}

/// The block is over, by the timer, before the next call takes the time.
void blocks_where_it_stands() {
    constexpr uint64_t delay = 20'000'000;
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop the periodic timer");
    const long bound = bind_virq(VIRQ_TIMER);
    if (!expect(bound >= 0, "bind_virq: %ld", bound)) {
        return;
    }
    const auto port = static_cast<evtchn_port_t>(bound);
    unmask_port(port);
    mask_events();
    const uint64_t until = now_ns() + delay;
    vcpu_runstate_info_t info{};
    multicall_entry_t calls[] = {
        call(__HYPERVISOR_set_timer_op, until),
        call(__HYPERVISOR_sched_op, SCHEDOP_block),
        call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info),
    };
    calls[2].args[2] = address_of(&info);
    run(calls, "timer, block, run states");
    mask_events();
    expect(now_ns() >= until, "it did not wait");
    expect(event_count(port) == 1, "%lu events of the timer", event_count(port));
    expect(info.state == RUNSTATE_running && info.state_entry_time >= until - 1'000'000,
           "the call behind the block came before its end: state %d since %lu, the timer %lu", info.state,
           info.state_entry_time, until);
}

} // namespace

void test() {
    selectors();
    blocks_where_it_stands();
}

} // namespace parapet::guest
