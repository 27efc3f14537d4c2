// SPDX-License-Identifier: Apache-2.0
// Time records, wall clock, run states; and the timers, through the hardware timer that they are given.
#include <gtest/gtest.h>

#include "hypercall-emu/core/services.hpp"
#include "pv-abi/sched.hpp"
#include "pv-abi/vm_assist.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

__extension__ using u128 = unsigned __int128;

constexpr u64 MS = 1'000'000, SECOND = 1000 * MS;
constexpr u32 TSC_DEADLINE = 0x6e0;
constexpr u32 TIMER_PORT = 9;

/// As a guest computes it (Xen public headers, vcpu_time_info).
u64 guest_time(const vcpu_time_info& info, u64 tsc) {
    const u64 delta = tsc - info.tsc_timestamp;
    const u64 scaled = info.tsc_shift >= 0 ? delta << info.tsc_shift : delta >> -info.tsc_shift;
    return info.system_time + static_cast<u64>((static_cast<u128>(scaled) * info.tsc_to_system_mul) >> 32);
}

class Rates : public ::testing::TestWithParam<u64> {};

TEST_P(Rates, GuestAndNucleusAgree) {
    FakeVm vm({.tsc_khz = GetParam()});
    const vcpu_time_info& info = vm.vcpu().info64().time;
    EXPECT_EQ(info.version % 2, 0u);
    EXPECT_NE(info.version, 0u);
    EXPECT_EQ(info.flags, XEN_PVCLOCK_TSC_STABLE_BIT);
    EXPECT_EQ(system_time_ns(vm.domain()), Clock::START_NS);
    EXPECT_GT(info.system_time, 0u);
    for (const u64 ns : std::initializer_list<u64>{1001, 1999, 12'345'678, 3600 * SECOND, 86'400 * 365 * SECOND}) {
        vm.set_time_ns(ns);
        const u64 now = system_time_ns(vm.domain());
        EXPECT_EQ(now, guest_time(info, vm.machine.tsc));
        EXPECT_NEAR(static_cast<double>(now), static_cast<double>(ns), 1 + static_cast<double>(ns) * 1e-9);
    }
}

/// The deadline that reaches the hardware is the first tick at which system time is there, at every distance.
TEST_P(Rates, DeadlinesAreExact) {
    FakeVm vm({.tsc_khz = GetParam()});
    (void)vm.call(do_vcpu_op, VCPUOP_stop_periodic_timer, 0);
    (void)vm.take_work();
    for (const u64 ns :
         std::initializer_list<u64>{1001, 1002, 1003, 2001, 10 * MS + 7, 5 * SECOND + 1, 864'000 * SECOND + 13}) {
        vm.vcpu().armed_tsc = 0;
        ASSERT_EQ(vm.call(do_set_timer_op, ns), 0);
        const u64 deadline = vm.vcpu().armed_tsc;
        vm.machine.tsc = deadline;
        EXPECT_GE(system_time_ns(vm.domain()), ns);
        // A tick may be shorter than a nanosecond's step, or longer: one tick earlier it is not there yet, or it is
        // only because scaling dropped low bits.
        vm.machine.tsc = deadline - (vm.domain().clock.shift < 0 ? 1ULL << -vm.domain().clock.shift : 1);
        EXPECT_LT(system_time_ns(vm.domain()), ns);
        vm.set_time_ns(0);
    }
}

INSTANTIATE_TEST_SUITE_P(Time, Rates,
                         ::testing::Values(600'000, 1'000'000, 1'999'999, 2'000'000, 2'600'000, 4'800'000));

TEST(Time, NoRateStillEnds) {
    FakeVm vm({.tsc_khz = 0});
    EXPECT_EQ(vm.domain().clock.tsc_khz, 1'000'000u);
}

TEST(Time, DoesNotStartBelowItsBase) {
    FakeVm vm;
    vm.machine.tsc = 0;
    EXPECT_EQ(system_time_ns(vm.domain()), Clock::START_NS);
}

TEST(Time, WallClock) {
    FakeVm vm({.wall_clock_ns = 5'000'000'000ULL * SECOND + 123 + Clock::START_NS});
    EXPECT_EQ(vm.shared().wc_version % 2, 0u);
    EXPECT_EQ((static_cast<u64>(vm.shared().wc_sec_hi) << 32) | vm.shared().wc_sec, 5'000'000'000u);
    EXPECT_EQ(vm.shared().wc_nsec, 123u);
    const u32 version = vm.shared().wc_version;
    update_wall_clock(vm.domain());
    EXPECT_EQ(vm.shared().wc_version, version + 2);
}

TEST(Time, RegisteredTimeArea) {
    FakeVm vm;
    const GuestVa area = vm.va(5, 16);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, vm.arg(area.address).address), 0);
    const auto copy = vm.out<vcpu_time_info>(5, 16);
    EXPECT_EQ(copy.tsc_to_system_mul, vm.vcpu().info64().time.tsc_to_system_mul);
    EXPECT_EQ(copy.version, vm.vcpu().info64().time.version);
    EXPECT_EQ(copy.version % 2, 0u);
    vm.vcpu().kernel_mode = 0; // another address space: not to be written there
    vm.at<vcpu_time_info>(5, 16).version = 1;
    refresh_time_info(vm.vcpu());
    EXPECT_EQ(vm.at<vcpu_time_info>(5, 16).version, 1u);
    vm.vcpu().kernel_mode = 1;
    for (const u64 bad : {HOLE_START, HOLE_START - 1, HOLE_END - 8, u64{0x0000800000000000}})
        EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, vm.arg(bad).address), -XEN_EFAULT);
    EXPECT_EQ(vm.vcpu().time_area_va, area.address);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, vm.arg(u64{0x5000}).address),
              0); // unmapped
}

class Runstates : public ::testing::Test {
protected:
    using Info = vcpu_runstate_info64;
    FakeVm vm;
    void register_area(u64 va) {
        EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_register_runstate_memory_area, 0, vm.arg(va).address), 0);
    }
};

TEST_F(Runstates, TimeIsAccounted) {
    vm.set_time_ns(10 * MS);
    set_runstate(vm.vcpu(), RUNSTATE_blocked);
    vm.set_time_ns(25 * MS);
    set_runstate(vm.vcpu(), RUNSTATE_running);
    vm.set_time_ns(26 * MS);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_get_runstate_info, 0, vm.va(1).address), 0);
    const auto info = vm.out<Info>();
    EXPECT_EQ(info.state, RUNSTATE_running);
    EXPECT_NEAR(static_cast<double>(info.time[RUNSTATE_running]), 11e6, 1100);
    EXPECT_NEAR(static_cast<double>(info.time[RUNSTATE_blocked]), 15e6, 10);
    EXPECT_NEAR(static_cast<double>(info.state_entry_time), 25e6, 10);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_get_runstate_info, 0, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_get_runstate_info, 1, vm.va(1).address), -XEN_ENOENT);
}

TEST_F(Runstates, AreaFollows) {
    register_area(vm.va(5, 4096 - 24).address); // across a page boundary
    vm.set_time_ns(10 * MS);
    set_runstate(vm.vcpu(), RUNSTATE_blocked);
    Info info;
    copy_bytes(&info, &vm.at<u8>(5, 4096 - 24), 24);
    copy_bytes(reinterpret_cast<u8*>(&info) + 24, &vm.at<u8>(6), sizeof(info) - 24);
    EXPECT_EQ(info.state, RUNSTATE_blocked);
    EXPECT_NEAR(static_cast<double>(info.time[RUNSTATE_running]), 10e6, 1100);
}

TEST_F(Runstates, UpdateFlagIsSetOnlyMeanwhile) {
    EXPECT_EQ(vm.call(do_vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
    register_area(vm.va(5).address);
    vm.set_time_ns(10 * MS);
    set_runstate(vm.vcpu(), RUNSTATE_blocked);
    const auto info = vm.out<Info>(5);
    EXPECT_EQ(info.state, RUNSTATE_blocked);
    EXPECT_EQ(info.state_entry_time, vm.vcpu().runstate.entry_time);
    EXPECT_EQ(info.state_entry_time & XEN_RUNSTATE_UPDATE, 0u);
}

TEST_F(Runstates, AreaIsLeftAloneInUserMode) {
    register_area(vm.va(5).address);
    vm.vcpu().kernel_mode = 0;
    vm.at<Info>(5).state = 42;
    set_runstate(vm.vcpu(), RUNSTATE_blocked);
    EXPECT_EQ(vm.at<Info>(5).state, 42);
}

TEST_F(Runstates, AreaThatIsNotMappedDoesNoHarm) {
    register_area(0x5000);
    set_runstate(vm.vcpu(), RUNSTATE_blocked);
    EXPECT_FALSE(vm.domain().dead);
    for (const u64 bad : {HOLE_START, HOLE_START - 8, u64{0x0000800000000000}})
        EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_register_runstate_memory_area, 0, vm.arg(bad).address), -XEN_EFAULT);
}

class Timers : public ::testing::Test {
protected:
    FakeVm vm;

    void SetUp() override {
        vm.domain().virq_port[0][VIRQ_TIMER] = TIMER_PORT;
        open_channel(vm.domain(), {TIMER_PORT}, ChannelState::virq, 0, VIRQ_TIMER);
        EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_stop_periodic_timer, 0), 0);
        (void)vm.take_work();
    }
    /// The deadline queued by the last call, in ns; nothing for "not touched".
    std::optional<u64> armed() {
        const auto tsc = FakeVm::queued_msr(vm.take_work(), TSC_DEADLINE);
        if (!tsc)
            return tsc;
        const u64 before = vm.machine.tsc;
        vm.machine.tsc = *tsc;
        const u64 ns = system_time_ns(vm.domain());
        vm.machine.tsc = before;
        return ns;
    }
    bool take_tick() {
        const bool pending = port_is_pending(vm.domain(), {TIMER_PORT});
        clear_port_pending(vm.domain(), {TIMER_PORT});
        return pending;
    }
    /// The hardware timer fires.
    void fire() { (void)timer_expired(vm.vcpu()); }
};

TEST_F(Timers, SingleshotFiresOnceAtItsTime) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), 5 * MS);
    vm.set_time_ns(5 * MS - 10);
    fire(); // too early: armed again
    EXPECT_FALSE(take_tick());
    EXPECT_EQ(armed(), 5 * MS);
    vm.set_time_ns(5 * MS + 10);
    fire();
    EXPECT_TRUE(take_tick());
    EXPECT_EQ(armed(), std::nullopt); // it had fired: nothing to switch off
    fire();
    EXPECT_FALSE(take_tick());
}

TEST_F(Timers, SameDeadlineIsNotWrittenAgain) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_NE(armed(), std::nullopt);
    vm.set_time_ns(1 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), std::nullopt);
}

/// A sleeping guest puts its tick off, and sets it again when it wakes up.
TEST_F(Timers, PuttingOffAndBackIsNotWritten) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), 5 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, 900 * MS), 0);
    EXPECT_EQ(armed(), std::nullopt);
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), std::nullopt);
    vm.set_time_ns(5 * MS + 10);
    fire();
    EXPECT_TRUE(take_tick());
}

TEST_F(Timers, PutOffFiresAtItsNewTime) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), 5 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, 9 * MS), 0);
    vm.set_time_ns(5 * MS + 10);
    fire();
    EXPECT_FALSE(take_tick());
    EXPECT_EQ(armed(), 9 * MS);
    vm.set_time_ns(9 * MS + 10);
    fire();
    EXPECT_TRUE(take_tick());
    EXPECT_EQ(armed(), std::nullopt);
}

TEST_F(Timers, LostInterruptCostsOneDeadline) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    EXPECT_EQ(armed(), 5 * MS);
    vm.set_time_ns(6 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, 9 * MS), 0);
    EXPECT_EQ(armed(), 9 * MS);
}

TEST_F(Timers, ZeroSwitchesOff) {
    EXPECT_EQ(vm.call(do_set_timer_op, 5 * MS), 0);
    (void)armed();
    EXPECT_EQ(vm.call(do_set_timer_op, 0), 0);
    vm.set_time_ns(6 * MS);
    fire();
    EXPECT_FALSE(take_tick());
    EXPECT_EQ(armed(), std::nullopt);
}

TEST_F(Timers, PastFiresAtOnce) {
    vm.set_time_ns(10 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, 9 * MS), 0);
    EXPECT_TRUE(take_tick());
    EXPECT_EQ(armed(), std::nullopt);
}

TEST_F(Timers, WrappedTimesFireAfter100Ms) {
    vm.set_time_ns(10 * MS);
    const u64 now = system_time_ns(vm.domain());
    EXPECT_EQ(vm.call(do_set_timer_op, static_cast<u64>(-5)), 0);
    EXPECT_EQ(vm.vcpu().timer_deadline_ns, now + 100 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, now + (1ULL << 50)), 0);
    EXPECT_EQ(vm.vcpu().timer_deadline_ns, now + 100 * MS);
    EXPECT_EQ(vm.call(do_set_timer_op, now + (1ULL << 49)), 0);
    EXPECT_EQ(vm.vcpu().timer_deadline_ns, now + (1ULL << 49));
}

TEST_F(Timers, VcpuOpSingleshot) {
    vm.set_time_ns(10 * MS);
    const auto set = [&](u64 ns, u32 flags) {
        return vm.call(do_vcpu_op, VCPUOP_set_singleshot_timer, 0,
                       vm.arg(vcpu_set_singleshot_timer64{ns, flags}).address);
    };
    EXPECT_EQ(set(20 * MS, 0), 0);
    EXPECT_EQ(armed(), 20 * MS);
    for (const u32 flags : {0U, u32{VCPU_SSHOTTMR_future}}) {
        EXPECT_EQ(set(9 * MS, flags), 0) << "past, and due at once";
        EXPECT_TRUE(take_tick());
    }
    EXPECT_EQ(set(30 * MS, VCPU_SSHOTTMR_future), 0);
    (void)armed();
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_stop_singleshot_timer, 0), 0);
    vm.set_time_ns(31 * MS);
    fire();
    EXPECT_FALSE(take_tick());
    EXPECT_EQ(armed(), std::nullopt);
    EXPECT_EQ(set(~0ULL >> 1, 0), 0); // as good as never
    EXPECT_EQ(armed(), std::nullopt);
    vm.add_vcpu();
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_singleshot_timer, 1, vm.va(1).address), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_stop_singleshot_timer, 1), -XEN_EINVAL);
}

TEST_F(Timers, PeriodicTicksWithoutDrift) {
    const u64 start = system_time_ns(vm.domain());
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, vm.arg(10 * MS).address), 0);
    for (u64 tick = 1; tick <= 5; tick++) {
        EXPECT_EQ(armed(), start + tick * 10 * MS);
        vm.set_time_ns(tick * 10 * MS + 300'000);
        fire();
        EXPECT_TRUE(take_tick());
    }
    // Ticks that were missed altogether are not made up for.
    vm.set_time_ns(200 * MS);
    fire();
    EXPECT_TRUE(take_tick());
    fire();
    EXPECT_FALSE(take_tick());
}

TEST_F(Timers, PeriodicRefusesOddPeriods) {
    for (const u64 period : {u64{0}, MS - 1, ~u64{0}, u64{1} << 63})
        EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, vm.arg(period).address), -XEN_EINVAL) << period;
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, vm.arg(~0ULL >> 2).address), 0);
}

TEST_F(Timers, EarliestOfSeveral) {
    EXPECT_EQ(vm.call(do_vcpu_op, VCPUOP_set_periodic_timer, 0, vm.arg(10 * MS).address), 0);
    EXPECT_EQ(vm.call(do_set_timer_op, 4 * MS), 0);
    EXPECT_EQ(armed(), 4 * MS);
    vm.set_time_ns(4 * MS + 1);
    fire();
    EXPECT_TRUE(take_tick());
    EXPECT_EQ(armed(), Clock::START_NS + 10 * MS);
}

TEST(TimersAtStart, HundredHertzUntilStopped) {
    FakeVm vm;
    EXPECT_EQ(vm.vcpu().periodic_ns, 10 * MS);
}

} // namespace
} // namespace parapet::nucleus::test
