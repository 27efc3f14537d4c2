// SPDX-License-Identifier: Apache-2.0
// Timers of a vCPU, all on its one hardware timer: singleshot, periodic, the timeout of a poll, and the watchdogs.
#include "hypercall-emu/core/hypercalls.hpp"
#include "hypercall-emu/core/msr.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/sched.hpp"

namespace parapet::nucleus {
namespace {

constexpr u64 NS_PER_MS = 1'000'000;
constexpr u64 NEVER = ~0ULL;

/// ceil((ns << 32) / mul). Precondition: ns < 2^61 and mul >= 2^31, so it fits in 62 bits.
u64 divide_by_scale(u64 ns, u32 mul) {
    const u64 low = (ns % mul) << 32;
    return ((ns / mul) << 32) + low / mul + (low % mul != 0 ? 1 : 0);
}

/// The first TSC value at which system time is `ns` or later; NEVER: not in this machine's life.
u64 tsc_at(const Clock& clock, u64 ns) {
    if ((ns >> 61) != 0)
        return NEVER;
    const u64 scaled = divide_by_scale(ns > Clock::START_NS ? ns - Clock::START_NS : 0, clock.mul);
    if (clock.shift >= 0)
        return clock.base_tsc + (scaled >> clock.shift) + ((scaled & ((1ULL << clock.shift) - 1)) != 0 ? 1 : 0);
    if ((scaled >> (63 + clock.shift)) != 0)
        return NEVER;
    return clock.base_tsc + (scaled << -clock.shift);
}

/// The watchdogs are the domain's; vCPU 0 keeps time for them.
bool keeps_watch(const Vcpu& vcpu) {
    return vcpu.id == 0;
}

/// As Xen has it, the periodic tick rests while its vCPU is blocked.
bool ticks(const Vcpu& vcpu) {
    return vcpu.periodic_ns != 0 && !vcpu.blocked && vcpu.online;
}

u64 earliest_deadline(const Vcpu& vcpu) {
    u64 deadline = NEVER;
    if (vcpu.timer_deadline_ns != 0)
        deadline = min_of(deadline, vcpu.timer_deadline_ns);
    if (ticks(vcpu))
        deadline = min_of(deadline, vcpu.periodic_next_ns);
    if (vcpu.poll_deadline_ns != 0)
        deadline = min_of(deadline, vcpu.poll_deadline_ns);
    if (keeps_watch(vcpu)) {
        for (const u64 watchdog : vcpu.domain->watchdog_deadline_ns)
            if (watchdog != 0)
                deadline = min_of(deadline, watchdog);
    }
    return deadline;
}

/// Do what is due. Nothing that was due at `now` is so afterwards.
void expire(Vcpu& vcpu, u64 now) {
    if (vcpu.timer_deadline_ns != 0 && vcpu.timer_deadline_ns <= now) {
        vcpu.timer_deadline_ns = 0;
        raise_virq(vcpu, abi::VIRQ_TIMER);
    }
    if (ticks(vcpu) && vcpu.periodic_next_ns <= now) {
        vcpu.periodic_next_ns += vcpu.periodic_ns;
        if (vcpu.periodic_next_ns <= now)
            vcpu.periodic_next_ns = now + vcpu.periodic_ns;
        raise_virq(vcpu, abi::VIRQ_TIMER);
    }
    if (vcpu.poll_deadline_ns != 0 && vcpu.poll_deadline_ns <= now) {
        vcpu.poll_deadline_ns = 0;
        kick(vcpu);
    }
    if (keeps_watch(vcpu)) {
        for (u64& watchdog : vcpu.domain->watchdog_deadline_ns) {
            if (watchdog != 0 && watchdog <= now) {
                watchdog = 0;
                shut_down(vcpu, abi::SHUTDOWN_watchdog);
            }
        }
    }
}

} // namespace

void arm_timer(Vcpu& vcpu) {
    u64 deadline = earliest_deadline(vcpu);
    if (deadline != NEVER) {
        const u64 now = system_time_ns(*vcpu.domain);
        if (deadline <= now) {
            expire(vcpu, now);
            deadline = earliest_deadline(vcpu);
        }
    }
    const u64 tsc = tsc_at(vcpu.domain->clock, deadline);
    // Each change is an exit. A timer that is armed too early stays so, and its interrupt arms it anew: a guest that
    // goes to sleep puts its tick off, and sets it as it was when a disk's answer wakes it up.
    // One whose time has passed is not relied upon: should its interrupt be lost, the next deadline is there.
    if (tsc == NEVER || (vcpu.armed_tsc <= tsc && vcpu.armed_tsc > vcpu.domain->machine->read_tsc()))
        return;
    vcpu.armed_tsc = tsc;
    queue_msr(vcpu, msr::TSC_DEADLINE, tsc);
}

void timer_expired(Vcpu& vcpu) {
    vcpu.armed_tsc = 0; // it fires once
    arm_timer(vcpu);
}

Status do_set_timer_op(Vcpu& vcpu, const HypercallArgs& args) {
    const auto timeout = static_cast<int64_t>(args.a[0]);
    if (timeout > 0) {
        const auto now = static_cast<int64_t>(system_time_ns(*vcpu.domain));
        // Guests whose time wrapped ask for a time long past or 13 days ahead. Xen answers both after 100 ms.
        const bool wrapped = timeout > now && ((timeout - now) >> 50) != 0;
        vcpu.timer_deadline_ns = wrapped ? static_cast<u64>(now) + 100 * NS_PER_MS : args.a[0];
    } else if (timeout < 0) {
        vcpu.timer_deadline_ns = system_time_ns(*vcpu.domain) + 100 * NS_PER_MS;
    } else {
        vcpu.timer_deadline_ns = 0;
    }
    arm_timer(vcpu);
    return 0;
}

} // namespace parapet::nucleus
