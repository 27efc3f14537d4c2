// SPDX-License-Identifier: Apache-2.0
// Time: system time from the TSC, the guest's time records and the wall clock.
//
// The rate and the base never change, so a guest's time, computed from its record, equals ours to the nanosecond.
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/vm_assist.hpp"

namespace parapet::nucleus {
namespace {

__extension__ using u128 = unsigned __int128;

constexpr u64 NS_PER_SECOND = 1'000'000'000;
constexpr u64 NS_PER_MS = 1'000'000;

/// mul and shift so that mul has its top bit's worth of precision, as every pvclock does.
void set_scale(Clock& clock) {
    u64 ticks_per_second = clock.tsc_khz * 1000;
    int shift = 0;
    while (ticks_per_second > NS_PER_SECOND * 2) {
        ticks_per_second >>= 1;
        shift--;
    }
    while (ticks_per_second <= NS_PER_SECOND) {
        ticks_per_second <<= 1;
        shift++;
    }
    clock.mul = static_cast<u32>((NS_PER_SECOND << 32) / ticks_per_second);
    clock.shift = shift;
}

/// Write one record under its version: odd while it changes.
void write_time_info(abi::vcpu_time_info& record, const Clock& clock) {
    const u32 version = record.version | 1;
    __atomic_store_n(&record.version, version, __ATOMIC_SEQ_CST);
    record.tsc_timestamp = clock.base_tsc;
    record.system_time = Clock::START_NS;
    record.tsc_to_system_mul = clock.mul;
    record.tsc_shift = static_cast<int8_t>(clock.shift);
    record.flags = abi::XEN_PVCLOCK_TSC_STABLE_BIT;
    __atomic_store_n(&record.version, version + 1, __ATOMIC_SEQ_CST);
}

/// The copy that the guest shows its applications. An area that is not mapped (now) is the guest's own loss.
void write_time_area(Vcpu& vcpu) {
    if (vcpu.time_area_va == 0 || vcpu.kernel_mode == 0)
        return;
    const GuestVa area{vcpu.time_area_va};
    abi::vcpu_time_info record = vcpu.info64().time;
    const u32 version = record.version;
    record.version = version - 1; // odd
    if (put(vcpu, area, record.version) && put(vcpu, area, record))
        (void)put(vcpu, area, version);
}

void write_runstate_area(Vcpu& vcpu) {
    const Runstate& runstate = vcpu.runstate;
    if (runstate.guest_va == 0 || vcpu.kernel_mode == 0)
        return;
    using Area = abi::vcpu_runstate_info64;
    const GuestVa area{runstate.guest_va};
    const GuestVa entry_time = area + offsetof(Area, state_entry_time);
    const bool flagged = (vcpu.domain->vm_assist & (1ULL << abi::VMASST_TYPE_runstate_update_flag)) != 0;
    Area copy = {};
    copy.state = runstate.state;
    copy.state_entry_time = runstate.entry_time | (flagged ? abi::XEN_RUNSTATE_UPDATE : 0);
    for (unsigned i = 0; i < 4; i++)
        copy.time[i] = runstate.time[i];
    if (flagged && !put(vcpu, entry_time, u64{copy.state_entry_time}))
        return;
    if (put(vcpu, area, copy) && flagged)
        (void)put(vcpu, entry_time, runstate.entry_time);
}

} // namespace

void init_time(Domain& domain) {
    Clock& clock = domain.clock;
    clock.base_tsc = domain.boot->boot_tsc;
    clock.tsc_khz = domain.boot->tsc_khz != 0 ? domain.boot->tsc_khz : NS_PER_MS;
    clock.wall_clock_ns = domain.boot->wall_clock_ns;
    set_scale(clock);
    update_wall_clock(domain);
}

void init_vcpu_time(Vcpu& vcpu) {
    vcpu.initialised = vcpu.started = vcpu.online; // the builder's vCPU needs no VCPUOP_initialise
    const u64 now = system_time_ns(*vcpu.domain);
    vcpu.runstate.state = vcpu.online ? abi::RUNSTATE_running : abi::RUNSTATE_offline;
    vcpu.runstate.entry_time = now;
    // Every PV vCPU starts with a 100 Hz tick; guests that do without it stop it.
    vcpu.periodic_ns = 10 * NS_PER_MS;
    vcpu.periodic_next_ns = now + vcpu.periodic_ns;
    refresh_time_info(vcpu);
}

u64 system_time_ns(Domain& domain) {
    const Clock& clock = domain.clock;
    const u64 tsc = domain.machine->read_tsc();
    const u64 delta = tsc > clock.base_tsc ? tsc - clock.base_tsc : 0;
    const u64 scaled = clock.shift >= 0 ? delta << clock.shift : delta >> -clock.shift;
    return Clock::START_NS + static_cast<u64>((static_cast<u128>(scaled) * clock.mul) >> 32);
}

void update_wall_clock(Domain& domain) {
    abi::shared_info64& shared = *domain.shared;
    // The record gives UTC at system time 0.
    const u64 utc = domain.clock.wall_clock_ns > Clock::START_NS ? domain.clock.wall_clock_ns - Clock::START_NS : 0;
    const u64 seconds = utc / NS_PER_SECOND;
    const u32 version = shared.wc_version | 1;
    __atomic_store_n(&shared.wc_version, version, __ATOMIC_SEQ_CST);
    shared.wc_sec = static_cast<u32>(seconds);
    shared.wc_sec_hi = static_cast<u32>(seconds >> 32);
    shared.wc_nsec = static_cast<u32>(utc % NS_PER_SECOND);
    __atomic_store_n(&shared.wc_version, version + 1, __ATOMIC_SEQ_CST);
}

void refresh_time_info(Vcpu& vcpu) {
    write_time_info(vcpu.info64().time, vcpu.domain->clock);
    write_time_area(vcpu);
}

void set_runstate(Vcpu& vcpu, int state) {
    Runstate& runstate = vcpu.runstate;
    const u64 now = system_time_ns(*vcpu.domain);
    if (now > runstate.entry_time)
        runstate.time[runstate.state] += now - runstate.entry_time;
    runstate.state = state;
    runstate.entry_time = now;
    write_runstate_area(vcpu);
}

} // namespace parapet::nucleus
