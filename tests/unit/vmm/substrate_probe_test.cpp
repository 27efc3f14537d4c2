// SPDX-License-Identifier: Apache-2.0
// Runs the probe on this machine's KVM; what it must find is known for the hardware's own.
#include "vmm/substrate.hpp"
#include "vmm/substrate_probe.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

constexpr std::chrono::seconds limit{20};

TEST(SubstrateProbe, AgreesWithWhatIsKnown) {
    const auto system = KvmSystem::open();
    if (!system) {
        GTEST_SKIP() << system.error().message;
    }
    const auto found = run_probe(*system, limit);
    ASSERT_TRUE(found) << found.error().message;
    const auto facts = probe_substrate(*system);
    ASSERT_TRUE(facts) << facts.error().message;
    if (facts->name == "kvm_intel" || facts->name == "kvm_amd") {
        EXPECT_EQ(found->syscall_arrival, doorbell::SyscallArrival::ring0);
        EXPECT_FALSE(found->ring0_interpreted);
        EXPECT_FALSE(found->ring3_native_cpuid);
        EXPECT_TRUE(found->slot256_works);
        EXPECT_FALSE(found->ways.ts_ignored);
        EXPECT_EQ(found->ways.stopped_by, "") << "every way into ring 0 was tried";
    }
    EXPECT_EQ(facts->syscall_arrival, found->syscall_arrival);
    EXPECT_EQ(facts->m2p_slot == doorbell::M2P_SLOT_ABI, found->slot256_works);
    EXPECT_EQ(facts->home == doorbell::Home::ring3, found->ring0_interpreted);
    EXPECT_EQ(facts->ring3_native, found->ring3_native_cpuid);
    EXPECT_EQ(facts->ts_ignored, found->ways.ts_ignored);
}

TEST(SubstrateProbe, FindsTheSameAgain) {
    const auto system = KvmSystem::open();
    if (!system) {
        GTEST_SKIP() << system.error().message;
    }
    const auto first = run_probe(*system, limit);
    ASSERT_TRUE(first);
    for (int round = 0; round < 5; round++) {
        const auto again = run_probe(*system, limit);
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(first->syscall_arrival, again->syscall_arrival);
        EXPECT_EQ(first->ring0_interpreted, again->ring0_interpreted);
        EXPECT_EQ(first->ring3_native_cpuid, again->ring3_native_cpuid);
        EXPECT_EQ(first->slot256_works, again->slot256_works);
    }
}

} // namespace
} // namespace parapet::vmm
