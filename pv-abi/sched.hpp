// SPDX-License-Identifier: Apache-2.0
// sched_op: yield, block, poll, shutdown.
// Source: xen/include/public/sched.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned SCHEDOP_yield = 0;
inline constexpr unsigned SCHEDOP_block = 1;
inline constexpr unsigned SCHEDOP_shutdown = 2;
inline constexpr unsigned SCHEDOP_poll = 3;
inline constexpr unsigned SCHEDOP_remote_shutdown = 4;
inline constexpr unsigned SCHEDOP_shutdown_code = 5;
inline constexpr unsigned SCHEDOP_watchdog = 6;
inline constexpr unsigned SCHEDOP_pin_override = 7;

// Reasons of a shutdown.
inline constexpr unsigned SHUTDOWN_poweroff = 0;
inline constexpr unsigned SHUTDOWN_reboot = 1;
inline constexpr unsigned SHUTDOWN_suspend = 2;
inline constexpr unsigned SHUTDOWN_crash = 3;
inline constexpr unsigned SHUTDOWN_watchdog = 4;
inline constexpr unsigned SHUTDOWN_soft_reset = 5;
inline constexpr unsigned SHUTDOWN_MAX = 5;

struct sched_shutdown {
    uint32_t reason; // SHUTDOWN_*
};
static_assert(sizeof(sched_shutdown) == 4);

template <typename W>
struct sched_poll_t {
    W ports; // guest pointer to evtchn_port_t[nr_ports]
    uint32_t nr_ports;
    u64_field<W> timeout; // system time, ns; 0: none
};
using sched_poll64 = sched_poll_t<uint64_t>;
using sched_poll32 = sched_poll_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(sched_poll64) == 24);
static_assert(sizeof(sched_poll32) == 16);

struct sched_remote_shutdown {
    domid_t domain_id;
    uint32_t reason; // SHUTDOWN_*
};
static_assert(sizeof(sched_remote_shutdown) == 8);

struct sched_watchdog {
    uint32_t id;      // 0: a new one
    uint32_t timeout; // seconds; 0 destroys it
};
static_assert(sizeof(sched_watchdog) == 8);

struct sched_pin_override {
    int32_t pcpu; // negative: undo
};
static_assert(sizeof(sched_pin_override) == 4);

} // namespace parapet::abi
