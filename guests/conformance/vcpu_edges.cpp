// SPDX-License-Identifier: Apache-2.0
// vcpu_op: the error of each operation, areas that are moved or not mapped, and the context of a vCPU that runs
// already.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "vcpu_edges";

namespace {

auto* const nowhere = reinterpret_cast<void*>(0x1000);

void initialise() {
    auto* context = static_cast<vcpu_guest_context_t*>(alloc_pages(2));
    expect_result(vcpu_op(VCPUOP_initialise, 0, context), -XEN_EEXIST, "initialise a vCPU that runs");
    expect_result(vcpu_op(VCPUOP_initialise, 0, nowhere), -XEN_EFAULT, "by a context at a hole");
    expect_result(vcpu_op(VCPUOP_initialise, 4095, context), -XEN_ENOENT, "a vCPU that is not there");
    // The second page of a context is not there.
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    expect_result(update_va_mapping(address_of(pages + page_size), 0), 0, "unmap");
    expect_result(vcpu_op(VCPUOP_initialise, 0, pages), -XEN_EFAULT, "by half a context");
    expect_result(vcpu_op(VCPUOP_up, 0, nullptr), 0, "up, which it is");
    vcpu_get_physid physid{};
    expect_result(vcpu_op(VCPUOP_get_physid, 0, &physid), -XEN_EINVAL, "get_physid of a vCPU that is not pinned");
    expect_result(vcpu_op(VCPUOP_get_physid, 4095, &physid), -XEN_ENOENT, "get_physid of none");
}

/// Each area may be set anew, taken away, and be where nothing is.
void areas() {
    static vcpu_time_info_t first;
    static vcpu_time_info_t second;
    vcpu_register_time_memory_area time{};
    time.addr.v = &first;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), 0, "time area");
    expect(first.tsc_to_system_mul == this_vcpu().time.tsc_to_system_mul, "it says %x", first.tsc_to_system_mul);
    time.addr.v = &second;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), 0, "another");
    expect(second.tsc_to_system_mul == first.tsc_to_system_mul, "it says %x", second.tsc_to_system_mul);
    time.addr.p = 0x1000;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), 0, "one that is not mapped");
    time.addr.v = nullptr;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), 0, "none");
    time.addr.p = HYPERVISOR_VIRT_START;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), -XEN_EFAULT, "in the hypervisor");
    time.addr.p = 0x800000000000;
    expect_result(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time), -XEN_EFAULT, "not canonical");

    static vcpu_runstate_info states;
    vcpu_register_runstate_memory_area area{};
    area.addr.v = &states;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0, "run state area");
    const uint64_t blocked = states.time[RUNSTATE_blocked];
    sched_poll poll{};
    poll.timeout = now_ns() + 5'000'000;
    expect_result(sched_op(SCHEDOP_poll, &poll), 0, "poll for 5 ms");
    const uint64_t after = const_cast<volatile uint64_t&>(states.time[RUNSTATE_blocked]);
    expect(after >= blocked + 4'000'000, "blocked for 5 ms, %lu ns by the area", after - blocked);
    vcpu_runstate_info asked{};
    expect_result(vcpu_op(VCPUOP_get_runstate_info, 0, &asked), 0, "get_runstate_info");
    expect(asked.time[RUNSTATE_blocked] == after && asked.state_entry_time == states.state_entry_time,
           "asked for, it says other things");
    area.addr.p = 0x800000000000;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), -XEN_EFAULT, "not canonical");
    expect_result(vcpu_op(VCPUOP_get_runstate_info, 0, reinterpret_cast<void*>(HYPERVISOR_VIRT_START)), -XEN_EFAULT,
                  "run states into the hypervisor");
}

void timers() {
    vcpu_set_periodic_timer period{0};
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), -XEN_EINVAL, "a period of 0");
    period.period_ns = ~0ul;
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), -XEN_EINVAL, "a period of 2^64-1 ns");
    period.period_ns = ~0ul >> 2;
    expect_result(vcpu_op(VCPUOP_set_periodic_timer, 0, &period), 0, "the longest period");
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nullptr), 0, "stop it");
    expect_result(vcpu_op(VCPUOP_stop_periodic_timer, 0, nowhere), 0, "stop takes no argument");
    expect_result(vcpu_op(VCPUOP_stop_singleshot_timer, 0, nowhere), 0, "nor does that of the singleshot timer");
    vcpu_set_singleshot_timer shot{};
    shot.timeout_abs_ns = now_ns() - 1'000'000;
    shot.flags = VCPU_SSHOTTMR_future;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0,
                  "a past time that must be future: Xen no longer minds");
    shot.flags = ~VCPU_SSHOTTMR_future;
    expect_result(vcpu_op(VCPUOP_set_singleshot_timer, 0, &shot), 0, "flags that are none");
    for (const unsigned command : {14u, 15u, 999u, ~0u}) {
        expect_result(vcpu_op(command, 0, nullptr), -XEN_ENOSYS, "an operation that is none");
    }
}

/// Another place for vcpu_info: each thing that is wrong with it; then once, and no more.
void info() {
    void* page = alloc_page();
    vcpu_register_vcpu_info place{};
    const auto answers = [&](uint64_t mfn, uint32_t offset, long wanted, const char* what) {
        place.mfn = mfn;
        place.offset = offset;
        expect_result(vcpu_op(VCPUOP_register_vcpu_info, 0, &place), wanted, what);
    };
    const uint64_t own = virt_to_mfn(page);
    answers(own, page_size - sizeof(vcpu_info_t) + 8, -XEN_ENXIO, "over the end of a page");
    answers(own, ~7u, -XEN_ENXIO, "far over the end of a page");
    answers(own, 4, -XEN_ENXIO, "an odd place");
    answers(0xfffffffff, 0, -XEN_EINVAL, "a frame that is not there");
    answers(virt_to_mfn(root_table()), 0, -XEN_EINVAL, "a page table");
    answers(own, page_size - sizeof(vcpu_info_t), 0, "at the end of a page");
    answers(own, 0, -XEN_EINVAL, "once more");
    expect_result(mmuext_mfn(MMUEXT_PIN_L1_TABLE, own), -XEN_EINVAL, "its page as a page table");
}

} // namespace

void test() {
    initialise();
    areas();
    timers();
    info();
}

} // namespace parapet::guest
