// SPDX-License-Identifier: Apache-2.0
// The one table of hypercalls: what is not in it is -ENOSYS. docs/hypercalls.md is checked against it.
#include "hypercall-emu/core/hypercalls.hpp"
#include "pv-abi/hypercalls.hpp"

namespace parapet::nucleus {

namespace {

#define PARAPET_HYPERCALL(name)                                                                                        \
    { abi::HYPERVISOR_##name, #name, do_##name, nullptr }
#define PARAPET_PRIVILEGED(name)                                                                                       \
    { abi::HYPERVISOR_##name, #name, do_privileged, nullptr }

constexpr HypercallEntry TABLE[] = {
    PARAPET_HYPERCALL(set_trap_table),
    PARAPET_HYPERCALL(mmu_update),
    PARAPET_HYPERCALL(set_gdt),
    PARAPET_HYPERCALL(stack_switch),
    PARAPET_HYPERCALL(set_callbacks),
    PARAPET_HYPERCALL(fpu_taskswitch),
    PARAPET_HYPERCALL(sched_op_compat),
    PARAPET_HYPERCALL(platform_op),
    PARAPET_HYPERCALL(set_debugreg),
    PARAPET_HYPERCALL(get_debugreg),
    PARAPET_HYPERCALL(update_descriptor),
    PARAPET_HYPERCALL(memory_op),
    PARAPET_HYPERCALL(multicall),
    PARAPET_HYPERCALL(update_va_mapping),
    PARAPET_HYPERCALL(set_timer_op),
    PARAPET_HYPERCALL(event_channel_op_compat),
    PARAPET_HYPERCALL(xen_version),
    PARAPET_HYPERCALL(console_io),
    PARAPET_HYPERCALL(physdev_op_compat),
    PARAPET_HYPERCALL(grant_table_op),
    PARAPET_HYPERCALL(vm_assist),
    PARAPET_HYPERCALL(update_va_mapping_otherdomain),
    PARAPET_HYPERCALL(iret),
    PARAPET_HYPERCALL(vcpu_op),
    PARAPET_HYPERCALL(set_segment_base),
    PARAPET_HYPERCALL(mmuext_op),
    PARAPET_HYPERCALL(nmi_op),
    PARAPET_HYPERCALL(sched_op),
    PARAPET_HYPERCALL(callback_op),
    PARAPET_HYPERCALL(event_channel_op),
    PARAPET_HYPERCALL(physdev_op),
    PARAPET_HYPERCALL(sysctl),
    PARAPET_HYPERCALL(domctl),
    PARAPET_PRIVILEGED(kexec_op),
};

#undef PARAPET_HYPERCALL
#undef PARAPET_PRIVILEGED

constexpr unsigned ROWS = sizeof(TABLE) / sizeof(TABLE[0]);
constexpr unsigned NUMBERS = 64;

/// Row + 1 by number, 0: none; made by the compiler so that dispatch is one load.
struct Index {
    u8 row[NUMBERS] = {};
    constexpr Index() {
        for (unsigned i = 0; i < ROWS; i++) {
            row[TABLE[i].number] = static_cast<u8>(i + 1);
        }
    }
};
constexpr Index INDEX;

} // namespace

const HypercallEntry* find_hypercall(u64 number) {
    if (number >= NUMBERS || INDEX.row[number] == 0) {
        return nullptr;
    }
    return &TABLE[INDEX.row[number] - 1];
}

const HypercallEntry* hypercall_table(unsigned& rows) {
    rows = ROWS;
    return TABLE;
}

Status do_privileged(Vcpu&, const HypercallArgs&) {
    return -abi::XEN_EPERM;
}

} // namespace parapet::nucleus
