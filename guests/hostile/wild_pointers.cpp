// SPDX-License-Identifier: Apache-2.0
// Every hypercall that takes a pointer, with pointers that lead nowhere, into the hypervisor, or over an edge.
#include <initializer_list>

#include "guests/lib/console.hpp"
#include "guests/lib/hypercall.hpp"
#include "guests/lib/kernel.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

namespace {

constexpr uint64_t P = 0xbad0bad0bad0bad0; // stands for the pointer

struct Call {
    unsigned number;
    uint64_t arguments[5];
    bool may_succeed = false; // says how many were done (0), or takes the pointer only later
};

constexpr Call calls[] = {
    {__HYPERVISOR_set_trap_table, {P}},
    {__HYPERVISOR_mmu_update, {P, 1, 0, DOMID_SELF}},
    {__HYPERVISOR_set_gdt, {P, 512}},
    {__HYPERVISOR_multicall, {P, 1}},
    {__HYPERVISOR_callback_op, {CALLBACKOP_register, P}},
    {__HYPERVISOR_callback_op, {CALLBACKOP_unregister, P}},
    {__HYPERVISOR_memory_op, {XENMEM_increase_reservation, P}, true},
    {__HYPERVISOR_memory_op, {XENMEM_decrease_reservation, P}, true},
    {__HYPERVISOR_memory_op, {XENMEM_populate_physmap, P}, true},
    {__HYPERVISOR_memory_op, {XENMEM_current_reservation, P}},
    {__HYPERVISOR_memory_op, {XENMEM_maximum_reservation, P}},
    {__HYPERVISOR_memory_op, {XENMEM_machphys_mfn_list, P}},
    {__HYPERVISOR_memory_op, {XENMEM_machphys_mapping, P}},
    {__HYPERVISOR_memory_op, {XENMEM_add_to_physmap, P}},
    {__HYPERVISOR_memory_op, {XENMEM_memory_map, P}},
    {__HYPERVISOR_memory_op, {XENMEM_exchange, P}},
    {__HYPERVISOR_xen_version, {XENVER_extraversion, P}},
    {__HYPERVISOR_xen_version, {XENVER_compile_info, P}},
    {__HYPERVISOR_xen_version, {XENVER_capabilities, P}},
    {__HYPERVISOR_xen_version, {XENVER_changeset, P}},
    {__HYPERVISOR_xen_version, {XENVER_platform_parameters, P}},
    {__HYPERVISOR_xen_version, {XENVER_get_features, P}},
    {__HYPERVISOR_xen_version, {XENVER_guest_handle, P}},
    {__HYPERVISOR_console_io, {CONSOLEIO_write, 16, P}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_map_grant_ref, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_unmap_grant_ref, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_setup_table, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_copy, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_query_size, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_set_version, P, 1}},
    {__HYPERVISOR_grant_table_op, {GNTTABOP_get_version, P, 1}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_initialise, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_get_runstate_info, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_register_runstate_memory_area, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_set_periodic_timer, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_set_singleshot_timer, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_register_vcpu_info, 0, P}},
    {__HYPERVISOR_vcpu_op, {VCPUOP_register_vcpu_time_memory_area, 0, P}},
    {__HYPERVISOR_mmuext_op, {P, 1, 0, DOMID_SELF}},
    {__HYPERVISOR_sched_op, {SCHEDOP_shutdown, P}},
    {__HYPERVISOR_sched_op, {SCHEDOP_poll, P}},
    {__HYPERVISOR_sched_op, {SCHEDOP_remote_shutdown, P}},
    {__HYPERVISOR_sched_op, {SCHEDOP_watchdog, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_bind_interdomain, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_bind_virq, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_bind_ipi, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_close, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_send, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_status, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_alloc_unbound, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_bind_vcpu, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_unmask, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_init_control, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_expand_array, P}},
    {__HYPERVISOR_event_channel_op, {EVTCHNOP_set_priority, P}},
    {__HYPERVISOR_physdev_op, {PHYSDEVOP_set_iopl, P}},
    {__HYPERVISOR_physdev_op, {PHYSDEVOP_set_iobitmap, P}},
    {__HYPERVISOR_physdev_op, {PHYSDEVOP_eoi, P}},
    {__HYPERVISOR_physdev_op, {PHYSDEVOP_irq_status_query, P}},
    {__HYPERVISOR_nmi_op, {XENNMI_register_callback, P}},
    {__HYPERVISOR_hvm_op, {0, P}},
    {__HYPERVISOR_platform_op, {P}},
    {__HYPERVISOR_sysctl, {P}},
    {__HYPERVISOR_domctl, {P}},
    {__HYPERVISOR_xsm_op, {P}},
    {__HYPERVISOR_xenpmu_op, {0, P}},
};

unsigned failures = 0;

void try_call(const Call& call, uint64_t pointer, const char* kind) {
    uint64_t a[5];
    for (unsigned i = 0; i < 5; ++i) {
        a[i] = call.arguments[i] == P ? pointer : call.arguments[i];
    }
    const long got = hypercall_raw(call.number, a[0], a[1], a[2], a[3], a[4]);
    const bool refused = got < 0 && got > -4096;
    if (!refused && !(call.may_succeed && got == 0)) {
        ++failures;
        print("fail: hypercall %u(%lx, %lx) with a pointer %s: %ld\n", call.number, a[0], a[1], kind, got);
    }
}

/// Two pages of which the second is not mapped; the pointer lies 4 bytes before the edge.
uint64_t edge() {
    auto* pages = static_cast<unsigned char*>(alloc_pages(2));
    update_va_mapping(address_of(pages + page_size), 0);
    return address_of(pages + page_size) - 4;
}

uint64_t text_sum() {
    uint64_t sum = 0;
    for (uint64_t at = virt_base + 0x100000; at < address_of(hypercall_page) + page_size; at += 8) {
        sum = sum * 31 + *reinterpret_cast<const volatile uint64_t*>(at);
    }
    return sum;
}

} // namespace

int guest_main() {
    print("expect: poweroff\n");
    const struct {
        uint64_t at;
        const char* kind;
    } pointers[] = {
        {0x1000, "to nothing"},
        {0x800000000000, "that is not canonical"},
        {0xffff7ffffffffff8, "below the canonical hole's end"},
        {HYPERVISOR_VIRT_START + 0x40000000000, "into the hypervisor"},
        {0xffff82d040200000, "to Xen's own code"},
        {0xffff830000100000, "to Xen's own heap"},
        {HYPERVISOR_VIRT_END - 8, "to the hypervisor's end"},
        {~0ul - 3, "to the end of the address space"},
        {edge(), "to an edge"},
    };
    const uint64_t before = text_sum();
    for (const auto& pointer : pointers) {
        for (const Call& call : calls) {
            // At an edge a request of 4 bytes or less is complete, and what it says is good.
            if (pointer.at == pointers[8].at &&
                (call.number == __HYPERVISOR_event_channel_op || call.number == __HYPERVISOR_physdev_op ||
                 call.number == __HYPERVISOR_sched_op || call.number == __HYPERVISOR_memory_op ||
                 call.number == __HYPERVISOR_callback_op)) {
                continue;
            }
            try_call(call, pointer.at, pointer.kind);
        }
    }
    // Written results must not reach what is read-only to us.
    void* read_only = alloc_page();
    set_read_only(read_only);
    for (const unsigned command : {XENVER_extraversion, XENVER_capabilities, XENVER_get_features}) {
        const uint64_t targets[] = {address_of(read_only), machphys_start(), address_of(root_table())};
        for (const uint64_t target : targets) {
            const long got = hypercall(__HYPERVISOR_xen_version, command, target);
            if (got != -XEN_EFAULT) {
                ++failures;
                print("fail: xen_version %u wrote to %lx: %ld\n", command, target, got);
            }
        }
    }
    if (text_sum() != before) {
        ++failures;
        print("fail: our code changed\n");
    }
    print("verdict: %s wild_pointers\n", failures == 0 ? "PASS" : "FAIL");
    return failures == 0 ? 0 : 1;
}

} // namespace parapet::guest
