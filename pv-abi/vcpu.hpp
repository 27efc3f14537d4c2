// SPDX-License-Identifier: Apache-2.0
// vcpu_op: starting and stopping vCPUs, their timers, run states and registered areas.
// Source: xen/include/public/vcpu.h.
#pragma once

#include "pv-abi/types.hpp"

namespace parapet::abi {

inline constexpr unsigned VCPUOP_initialise = 0;
inline constexpr unsigned VCPUOP_up = 1;
inline constexpr unsigned VCPUOP_down = 2;
inline constexpr unsigned VCPUOP_is_up = 3;
inline constexpr unsigned VCPUOP_get_runstate_info = 4;
inline constexpr unsigned VCPUOP_register_runstate_memory_area = 5;
inline constexpr unsigned VCPUOP_set_periodic_timer = 6;
inline constexpr unsigned VCPUOP_stop_periodic_timer = 7;
inline constexpr unsigned VCPUOP_set_singleshot_timer = 8;
inline constexpr unsigned VCPUOP_stop_singleshot_timer = 9;
inline constexpr unsigned VCPUOP_register_vcpu_info = 10;
inline constexpr unsigned VCPUOP_send_nmi = 11;
inline constexpr unsigned VCPUOP_get_physid = 12;
inline constexpr unsigned VCPUOP_register_vcpu_time_memory_area = 13;

inline constexpr int32_t RUNSTATE_running = 0;
inline constexpr int32_t RUNSTATE_runnable = 1;
inline constexpr int32_t RUNSTATE_blocked = 2;
inline constexpr int32_t RUNSTATE_offline = 3;

inline constexpr uint64_t XEN_RUNSTATE_UPDATE = uint64_t{1} << 63;

template <typename W>
struct vcpu_runstate_info_t {
    int32_t state;                 // RUNSTATE_*
    u64_field<W> state_entry_time; // system time, ns; | XEN_RUNSTATE_UPDATE while being written
    u64_field<W> time[4];          // ns spent in each state
};
using vcpu_runstate_info64 = vcpu_runstate_info_t<uint64_t>;
using vcpu_runstate_info32 = vcpu_runstate_info_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_runstate_info64) == 48);
static_assert(sizeof(vcpu_runstate_info32) == 44);

template <typename W>
struct vcpu_register_runstate_memory_area_t {
    union {
        W h; // guest pointer to vcpu_runstate_info
        W v;
        u64_field<W> p;
    } addr;
};
using vcpu_register_runstate_memory_area64 = vcpu_register_runstate_memory_area_t<uint64_t>;
using vcpu_register_runstate_memory_area32 = vcpu_register_runstate_memory_area_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_register_runstate_memory_area64) == 8);
static_assert(sizeof(vcpu_register_runstate_memory_area32) == 8);

struct vcpu_set_periodic_timer {
    uint64_t period_ns;
};
static_assert(sizeof(vcpu_set_periodic_timer) == 8);

inline constexpr uint32_t VCPU_SSHOTTMR_future = 1 << 0;

template <typename W>
struct vcpu_set_singleshot_timer_t {
    u64_field<W> timeout_abs_ns; // system time
    uint32_t flags;              // VCPU_SSHOTTMR_*
};
using vcpu_set_singleshot_timer64 = vcpu_set_singleshot_timer_t<uint64_t>;
using vcpu_set_singleshot_timer32 = vcpu_set_singleshot_timer_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_set_singleshot_timer64) == 16);
static_assert(sizeof(vcpu_set_singleshot_timer32) == 12);

struct vcpu_register_vcpu_info {
    uint64_t mfn;
    uint32_t offset;
    uint32_t rsvd;
};
static_assert(sizeof(vcpu_register_vcpu_info) == 16);

struct vcpu_get_physid {
    uint64_t phys_id; // low half: APIC id; high half: ACPI id
};
static_assert(sizeof(vcpu_get_physid) == 8);

template <typename W>
struct vcpu_register_time_memory_area_t {
    union {
        W h; // guest pointer to vcpu_time_info
        W v;
        u64_field<W> p;
    } addr;
};
using vcpu_register_time_memory_area64 = vcpu_register_time_memory_area_t<uint64_t>;
using vcpu_register_time_memory_area32 = vcpu_register_time_memory_area_t<uint32_t>;
static_assert(!lays_out_64 || sizeof(vcpu_register_time_memory_area64) == 8);
static_assert(sizeof(vcpu_register_time_memory_area32) == 8);

} // namespace parapet::abi
