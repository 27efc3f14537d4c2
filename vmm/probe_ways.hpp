// SPDX-License-Identifier: Apache-2.0
// The ways by which a program may enter ring 0, as the probe tries them, and what may come of each.
#pragma once

#include "pv-abi/doorbell.hpp"
#include "support/result.hpp"
#include "vmm/probe_layout.h"

#include <array>
#include <cstdint>
#include <string>

namespace parapet::vmm {

struct ProbeWay {
    const char* what; ///< "SYSCALL of 32-bit code"
    bool compat;      ///< runs in compatibility code
    bool syscall;     ///< may arrive at LSTAR or CSTAR, on the program's stack, where the stubs expect it
};
extern const std::array<ProbeWay, PROBE_NR_WAYS> probe_way_list;

/// As the probe's code leaves it.
struct WayArrival {
    std::uint64_t how; ///< a vector, PROBE_AT_LSTAR or PROBE_AT_CSTAR
    std::uint64_t rsp; ///< at the entry
    std::uint64_t cs;  ///< of the frame on the stack of TSS.RSP0; 0: nothing was pushed there
};
static_assert(sizeof(WayArrival) == PROBE_WAY_SIZE);
using WayArrivals = std::array<WayArrival, PROBE_NR_WAYS>;

struct WayFindings {
    bool ts_ignored = false; ///< CR0.TS does not stop ring 3
    std::string stopped_by;  ///< a program stops its VM by this; empty: by none of them
};

/// `tried`: that many arrived; `stack_end`: TSS.RSP0. Error: one enters ring 0 as no stub of the nucleus expects it.
[[nodiscard]] Result<WayFindings> check_ways(const WayArrivals& arrivals, std::size_t tried, std::uint64_t stack_end,
                                             doorbell::SyscallArrival syscall_arrival);

} // namespace parapet::vmm
