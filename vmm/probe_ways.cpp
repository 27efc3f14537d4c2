// SPDX-License-Identifier: Apache-2.0
#include "vmm/probe_ways.hpp"

namespace parapet::vmm {

const std::array<ProbeWay, PROBE_NR_WAYS> probe_way_list{{
    {"SYSCALL in the shadow of mov ss", false, true}, // in the order of probe_code.S
    {"INT n", false, false},
    {"INT3", false, false},
    {"ICEBP", false, false},
    {"SYSENTER", false, false},
    {"INT3 in the shadow of mov ss", false, false},
    {"ICEBP in the shadow of mov ss", false, false},
    {"SYSCALL of 32-bit code", true, true},
    {"SYSCALL of 32-bit code in the shadow of mov ss", true, true},
    {"INT n of 32-bit code", true, false},
    {"INT3 of 32-bit code", true, false},
    {"ICEBP of 32-bit code", true, false},
    {"SYSENTER of 32-bit code", true, false},
    {"a vector instruction with CR0.TS set", false, false},
}};

namespace {

constexpr std::uint64_t first_interrupt = 32, no_device = 7, ring3 = 3;
constexpr std::uint64_t frame_size = 40, frame_with_error = 48;

/// By the IDT, from ring 3, on the stack of TSS.RSP0: what every stub expects.
bool is_exception_of_ring3(const WayArrival& arrival, std::uint64_t stack_end) {
    const bool on_own_stack = arrival.rsp == stack_end - frame_size || arrival.rsp == stack_end - frame_with_error;
    return arrival.how < first_interrupt && on_own_stack && (arrival.cs & ring3) == ring3;
}

} // namespace

Result<WayFindings> check_ways(const WayArrivals& arrivals, std::size_t tried, std::uint64_t stack_end,
                               doorbell::SyscallArrival syscall_arrival) {
    const bool at_ring0 = syscall_arrival == doorbell::SyscallArrival::ring0;
    WayFindings found;
    for (std::size_t i = 0; i < tried; i++) {
        const WayArrival& arrival = arrivals[i];
        const ProbeWay& way = probe_way_list[i];
        const bool at_stub = arrival.how == (way.compat ? PROBE_AT_CSTAR : PROBE_AT_LSTAR);
        if (!is_exception_of_ring3(arrival, stack_end) && !(at_stub && way.syscall && at_ring0)) {
            return Error{std::string{"on this host's KVM a program enters ring 0 by "} + way.what +
                         " in a way that is not safe (probe: " + std::to_string(arrival.how) +
                         "); use a host with VMX or SVM, and please report it with `parapet doctor --json`"};
        }
    }
    if (tried < arrivals.size()) {
        found.stopped_by = probe_way_list[tried].what;
    }
    found.ts_ignored = tried > PROBE_WAY_TS && arrivals[PROBE_WAY_TS].how != no_device;
    if (found.ts_ignored && at_ring0) {
        return Error{"this host's KVM is none that Parapet knows: CR0.TS has no effect, though SYSCALL enters ring 0; "
                     "please report it with `parapet doctor --json`"};
    }
    return found;
}

} // namespace parapet::vmm
