// SPDX-License-Identifier: Apache-2.0
// vcpu_op: up and down, vcpu_info placement, runstate, wrong vCPUs.
#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "vcpu";

void test() {
    expect_result(vcpu_op(VCPUOP_is_up, 0, nullptr), 1, "vCPU 0 is up");
    expect_result(vcpu_op(VCPUOP_is_up, 4095, nullptr), -XEN_ENOENT, "vCPU 4095");
    expect_refused(vcpu_op(VCPUOP_up, 4095, nullptr), "up of vCPU 4095");
    expect_result(vcpu_op(999, 0, nullptr), -XEN_ENOSYS, "unknown operation");

    static vcpu_runstate_info runstate;
    vcpu_register_runstate_memory_area area{};
    area.addr.v = &runstate;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0, "register runstate");
    vcpu_runstate_info now{};
    expect_result(vcpu_op(VCPUOP_get_runstate_info, 0, &now), 0, "get runstate");
    expect(now.state == RUNSTATE_running, "runstate %d while running", now.state);
    expect(now.time[RUNSTATE_running] > 0, "no time running");
    expect(runstate.state == RUNSTATE_running, "runstate %d in memory", runstate.state);
    uint64_t sum = 0;
    for (const uint64_t time : now.time) {
        sum += time;
    }
    expect(sum > 0 && sum < now_ns() + 1'000'000'000, "the times add up to %lu at %lu", sum, now_ns());
    const uint64_t begin = now.time[RUNSTATE_running];
    for (const uint64_t until = now_ns() + 5'000'000; now_ns() < until;) {
        cpu_relax();
    }
    expect_result(vcpu_op(VCPUOP_get_runstate_info, 0, &now), 0, "get runstate");
    expect(now.time[RUNSTATE_running] >= begin + 1'000'000, "running for 5 ms added %lu ns",
           now.time[RUNSTATE_running] - begin);
    expect_result(vcpu_op(VCPUOP_get_runstate_info, 0, reinterpret_cast<void*>(0x1000)), -XEN_EFAULT, "bad pointer");

    // Last, as it cannot be undone: another place for vcpu_info. The old copy goes dead.
    alignas(64) static vcpu_info_t moved;
    vcpu_register_vcpu_info place{};
    place.mfn = virt_to_mfn(&moved);
    place.offset = static_cast<uint32_t>(address_of(&moved) & (page_size - 1));
    vcpu_register_vcpu_info wrong = place;
    wrong.offset = page_size - 8;
    expect_refused(vcpu_op(VCPUOP_register_vcpu_info, 0, &wrong), "over the end of a page");
    wrong = place;
    wrong.mfn = 0xfffffffff;
    expect_refused(vcpu_op(VCPUOP_register_vcpu_info, 0, &wrong), "at a wild frame");
    wrong = place;
    wrong.mfn = virt_to_mfn(root_table());
    expect_refused(vcpu_op(VCPUOP_register_vcpu_info, 0, &wrong), "in a page table");
    expect_result(vcpu_op(VCPUOP_register_vcpu_info, 0, &place), 0, "register vcpu_info");
    expect(moved.time.tsc_to_system_mul != 0, "the new place has no time");
    expect(moved.evtchn_upcall_mask == 1, "the event mask did not move along");
    expect_refused(vcpu_op(VCPUOP_register_vcpu_info, 0, &place), "register twice");
    const auto port = static_cast<evtchn_port_t>(bind_ipi());
    unmask_port(port);
    notify_port(port);
    expect(moved.evtchn_upcall_pending != 0, "events still go to the old place");
    moved.arch.cr2 = 0;
    catch_trap([] { (void)*reinterpret_cast<volatile uint64_t*>(0x7000); });
    expect(moved.arch.cr2 == 0x7000, "cr2 went to the old place: %lx", moved.arch.cr2);
}

} // namespace parapet::guest
