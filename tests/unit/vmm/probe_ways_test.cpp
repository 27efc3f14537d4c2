// SPDX-License-Identifier: Apache-2.0
// What the probe makes of the ways into ring 0, on made-up arrivals; the real probe: substrate_probe_test.cpp.
#include "vmm/probe_ways.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace parapet::vmm {
namespace {

using doorbell::SyscallArrival;

constexpr std::uint64_t stack_end = 0xffff820000002000, user_stack = 0x401800;
constexpr std::size_t shadowed = 0, int_n = 1, compat_syscall = 7, compat_sysenter = 12;

/// All of them exceptions of ring 3, as each KVM that is known has them, CR0.TS included.
WayArrivals good() {
    WayArrivals arrivals{};
    for (WayArrival& arrival : arrivals) {
        arrival = {6, stack_end - 40, 0x33};
    }
    arrivals[int_n] = {13, stack_end - 48, 0x33};
    arrivals[PROBE_WAY_TS].how = 7;
    return arrivals;
}

bool refused(const WayArrivals& arrivals, SyscallArrival syscall, std::size_t tried = PROBE_NR_WAYS) {
    return !check_ways(arrivals, tried, stack_end, syscall);
}

TEST(ProbeWays, ExceptionsOfRing3AreFineEverywhere) {
    for (const auto syscall : {SyscallArrival::ring0, SyscallArrival::page_fault}) {
        const auto found = check_ways(good(), PROBE_NR_WAYS, stack_end, syscall);
        ASSERT_TRUE(found) << found.error().message;
        EXPECT_FALSE(found->ts_ignored);
        EXPECT_EQ(found->stopped_by, "");
    }
}

TEST(ProbeWays, SyscallMayEnterAtItsStubWhereTheProcessorDoesSo) {
    WayArrivals arrivals = good();
    arrivals[shadowed] = {PROBE_AT_LSTAR, user_stack, 0};
    arrivals[compat_syscall] = {PROBE_AT_CSTAR, user_stack, 0};
    EXPECT_FALSE(refused(arrivals, SyscallArrival::ring0));
    EXPECT_TRUE(refused(arrivals, SyscallArrival::page_fault));
}

TEST(ProbeWays, AnEmulatedSyscallAtRing0IsRefusedByName) {
    WayArrivals arrivals = good();
    arrivals[compat_syscall] = {14, user_stack - 48, 0}; // CSTAR cut to 32 bits: a page fault on the program's stack
    for (const auto syscall : {SyscallArrival::ring0, SyscallArrival::page_fault}) {
        const auto found = check_ways(arrivals, PROBE_NR_WAYS, stack_end, syscall);
        ASSERT_FALSE(found);
        EXPECT_NE(found.error().message.find("SYSCALL of 32-bit code"), std::string::npos) << found.error().message;
    }
}

TEST(ProbeWays, WrongStacksModesAndEntriesAreRefused) {
    const WayArrival bad[] = {
        {13, user_stack - 48, 0x33},     // pushed on the program's stack
        {13, stack_end - 56, 0x33},      // not at the stack's end
        {13, stack_end - 40, 0x8},       // of ring 0
        {13, stack_end - 40, 0},         // pushed nothing
        {PROBE_AT_LSTAR, user_stack, 0}, // by no SYSCALL
        {PROBE_AT_CSTAR, user_stack, 0}, {77, stack_end - 40, 0x33},
    };
    for (const WayArrival& arrival : bad) {
        for (const std::size_t way : {int_n, compat_sysenter}) {
            WayArrivals arrivals = good();
            arrivals[way] = arrival;
            EXPECT_TRUE(refused(arrivals, SyscallArrival::ring0)) << arrival.how << " of way " << way;
        }
    }
    WayArrivals crossed = good();
    crossed[compat_syscall] = {PROBE_AT_LSTAR, user_stack, 0};
    EXPECT_TRUE(refused(crossed, SyscallArrival::ring0));
}

TEST(ProbeWays, AWayThatStopsTheVmIsToldAndWhatCameBeforeIsLookedAt) {
    WayArrivals arrivals{};
    const WayArrivals all = good();
    std::copy_n(all.begin(), 4, arrivals.begin());
    const auto found = check_ways(arrivals, 4, stack_end, SyscallArrival::page_fault);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->stopped_by, "SYSENTER");
    EXPECT_FALSE(found->ts_ignored) << "not tried";
    arrivals[int_n].cs = 0;
    EXPECT_TRUE(refused(arrivals, SyscallArrival::page_fault, 4));
}

TEST(ProbeWays, TaskSwitchedWithoutEffectIsKnownOfOneKindOnly) {
    WayArrivals arrivals = good();
    arrivals[PROBE_WAY_TS].how = 6; // the instruction behind it
    const auto found = check_ways(arrivals, PROBE_NR_WAYS, stack_end, SyscallArrival::page_fault);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->ts_ignored);
    EXPECT_TRUE(refused(arrivals, SyscallArrival::ring0)) << "the fast iret of home ring0 would go past the core";
}

} // namespace
} // namespace parapet::vmm
