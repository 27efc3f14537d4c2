// SPDX-License-Identifier: Apache-2.0
// Which SYSCALL each substrate gets: none that the host emulates may reach ring 0 on a program's stack.
#include "vmm/vcpu_setup.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

using namespace doorbell;

constexpr std::uint64_t stubs = NUCLEUS_VA + 0x400, gate = NUCLEUS_VA + 0x5000;

ImageHeader header(bool with_gate) {
    ImageHeader result{};
    result.syscall_stubs = stubs;
    result.gate_text = with_gate ? gate : 0;
    return result;
}

Substrate substrate(SyscallArrival arrival) {
    Substrate result;
    result.syscall_arrival = arrival;
    return result;
}

TEST(SyscallSetup, HardwareEntersAtTheStubsOfEachVcpu) {
    for (const bool with_gate : {false, true}) {
        for (const unsigned id : {0U, 3U}) {
            const SyscallSetup set = syscall_setup(header(with_gate), id, substrate(SyscallArrival::ring0));
            EXPECT_TRUE(set.enabled);
            EXPECT_EQ(set.lstar, stubs + id * SYSCALL_STUB_SIZE);
            EXPECT_EQ(set.cstar, set.lstar + SYSCALL32_STUB_OFFSET);
        }
    }
}

TEST(SyscallSetup, WhatStaysAtRing3IsNeverEmulatedIntoRing0) {
    const SyscallSetup by_gate = syscall_setup(header(true), 2, substrate(SyscallArrival::page_fault));
    EXPECT_FALSE(by_gate.enabled);
    EXPECT_EQ(by_gate.lstar, GATE_VA + 2 * GATE_SIZE);
    EXPECT_EQ(by_gate.cstar, 0U);
    const SyscallSetup by_fault = syscall_setup(header(false), 2, substrate(SyscallArrival::page_fault));
    EXPECT_FALSE(by_fault.enabled);
    EXPECT_EQ(by_fault.lstar, stubs + 2 * SYSCALL_STUB_SIZE);
    EXPECT_EQ(by_fault.cstar, 0U);
}

TEST(Smep, IsOnWhereTheProcessorHasItAndTheHomeFits) {
    CpuidTable machine(2);
    machine[0].function = 1;
    machine[0].ebx = 0xffffffff;
    machine[1].function = 7;
    EXPECT_FALSE(uses_smep(Home::ring0, machine));
    machine[1].ebx = 1 << 7;
    EXPECT_TRUE(uses_smep(Home::ring0, machine));
    EXPECT_FALSE(uses_smep(Home::ring3, machine));
    machine[1].index = 1;
    EXPECT_FALSE(uses_smep(Home::ring0, machine));
    EXPECT_FALSE(uses_smep(Home::ring0, {}));
}

} // namespace
} // namespace parapet::vmm
