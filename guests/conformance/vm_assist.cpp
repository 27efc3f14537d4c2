// SPDX-License-Identifier: Apache-2.0
// vm_assist: which types there are for a 64-bit guest, and what is refused. What they do: iopl, pt_writable_assist,
// vcpu.
#include <initializer_list>

#include "guests/conformance/check.hpp"

namespace parapet::guest {

const char* const test_name = "vm_assist";

void test() {
    const auto assist = [](unsigned command, unsigned type) {
        return hypercall(__HYPERVISOR_vm_assist, command, type);
    };
    for (const unsigned type :
         {VMASST_TYPE_4gb_segments, VMASST_TYPE_4gb_segments_notify, VMASST_TYPE_writable_pagetables,
          VMASST_TYPE_pae_extended_cr3, VMASST_TYPE_architectural_iopl, VMASST_TYPE_runstate_update_flag, 32}) {
        expect_result(assist(VMASST_CMD_enable, type), 0, "enable");
        expect_result(assist(VMASST_CMD_enable, type), 0, "enable twice");
        expect_result(assist(VMASST_CMD_disable, type), 0, "disable");
        expect_result(assist(VMASST_CMD_disable, type), 0, "disable twice");
    }
    for (const unsigned type : {6u, 7u, 31u, 33u, 63u, 64u, 1000u, ~0u}) {
        expect_result(assist(VMASST_CMD_enable, type), -XEN_EINVAL, "enable what is none");
        expect_result(assist(VMASST_CMD_disable, type), -XEN_EINVAL, "disable what is none");
        expect_result(assist(77, type), -XEN_EINVAL, "neither, of what is none");
    }
    for (const unsigned command : {2u, 77u, ~0u}) {
        expect_result(assist(command, VMASST_TYPE_4gb_segments), -XEN_ENOSYS, "neither enable nor disable");
    }

    // The update flag of run state areas: set while the area changes, never seen from within.
    static vcpu_runstate_info runstate;
    vcpu_register_runstate_memory_area area{};
    area.addr.v = &runstate;
    expect_result(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0, "register run states");
    expect_result(assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0, "update flag");
    const uint64_t before = runstate.state_entry_time;
    sched_poll poll{};
    poll.timeout = now_ns() + 2'000'000;
    expect_result(sched_op(SCHEDOP_poll, &poll), 0, "poll for 2 ms");
    const uint64_t after = const_cast<volatile uint64_t&>(runstate.state_entry_time);
    expect((after & XEN_RUNSTATE_UPDATE) == 0 && after > before, "entry time %lx, then %lx", before, after);
}

} // namespace parapet::guest
