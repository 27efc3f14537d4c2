// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpuid_policy.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <tuple>

namespace parapet::vmm {
namespace {

kvm_cpuid_entry2 leaf(std::uint32_t function, std::uint32_t index, std::uint32_t eax, std::uint32_t ebx,
                      std::uint32_t ecx, std::uint32_t edx) {
    kvm_cpuid_entry2 entry{};
    entry.function = function;
    entry.index = index;
    entry.flags = function == 4 || function == 7 || function == 0xd ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entry.eax = eax;
    entry.ebx = ebx;
    entry.ecx = ecx;
    entry.edx = edx;
    return entry;
}

/// A processor that can do everything there is a bit for.
CpuidTable generous() {
    constexpr std::uint32_t all = ~0U;
    return {leaf(0, 0, 0x1f, 1, 2, 3),
            leaf(1, 0, all, all, all, all),
            leaf(4, 0, all, 0, 0, 0),
            leaf(7, 0, all, all, all, all),
            leaf(7, 1, all, all, all, all),
            leaf(0xa, 0, all, all, all, all),
            leaf(0xd, 0, all, all, all, all),
            leaf(0xd, 1, all, all, all, all),
            leaf(0xd, 2, 256, 576, 0, 0),
            leaf(0xd, 5, 64, 1088, 0, 0),
            leaf(0xd, 6, 512, 1152, 0, 0),
            leaf(0xd, 7, 1024, 1664, 0, 0),
            leaf(0xd, 9, 8, 2688, 0, 0),
            leaf(0x40000000, 0, 1, 2, 3, 4),
            leaf(0x80000000, 0, all, 0, 0, 0),
            leaf(0x80000001, 0, all, all, all, all),
            leaf(0x80000007, 0, all, all, all, all),
            leaf(0x80000008, 0, all, all, all, all),
            leaf(0x8000001f, 0, all, all, all, all)};
}

const doorbell::CpuidLeaf* find(const CpuidPolicy& policy, std::uint32_t number, std::uint32_t sub = 0) {
    const auto at = std::find_if(policy.guest.begin(), policy.guest.end(),
                                 [&](const auto& entry) { return entry.leaf == number && entry.subleaf == sub; });
    return at == policy.guest.end() ? nullptr : &*at;
}

kvm_cpuid_entry2 machine_leaf(const CpuidPolicy& policy, std::uint32_t number) {
    return *std::find_if(policy.machine.begin(), policy.machine.end(),
                         [&](const auto& entry) { return entry.function == number; });
}

CpuidPolicy policy_with(std::uint64_t xcr0) {
    Substrate substrate;
    substrate.xcr0 = xcr0;
    return make_cpuid_policy(substrate, generous());
}

bool has(std::uint32_t word, unsigned bit) {
    return (word >> bit & 1) != 0;
}

TEST(CpuidPolicy, HidesWhatOnlyAKernelAtRing0CanUse) {
    const CpuidPolicy policy = policy_with(0xe7);
    const auto& one = *find(policy, 1);
    for (const unsigned bit :
         {3U /* MONITOR */, 5U /* VMX */, 17U /* PCID */, 21U /* x2APIC */, 24U /* TSC deadline */}) {
        EXPECT_FALSE(has(one.ecx, bit)) << bit;
    }
    for (const unsigned bit : {3U /* PSE */, 7U /* MCE */, 11U /* SEP */, 12U /* MTRR */, 13U /* PGE */}) {
        EXPECT_FALSE(has(one.edx, bit)) << bit;
    }
    EXPECT_TRUE(has(one.ecx, 31)) << "a hypervisor is there";
    EXPECT_TRUE(has(one.ecx, 28)) << "AVX";
    const auto& seven = *find(policy, 7);
    for (const unsigned bit : {7U /* SMEP */, 10U /* INVPCID */, 11U /* RTM */, 20U /* SMAP */}) {
        EXPECT_FALSE(has(seven.ebx, bit)) << bit;
    }
    for (const unsigned bit : {2U /* UMIP */, 3U /* PKU */, 7U /* CET_SS */, 16U /* LA57 */}) {
        EXPECT_FALSE(has(seven.ecx, bit)) << bit;
    }
    EXPECT_TRUE(has(seven.ebx, 5)) << "AVX2";
    EXPECT_TRUE(has(seven.ebx, 0)) << "FSGSBASE: CR4's bit is the guest kernel's";
    const auto& extended = *find(policy, 0x80000001);
    EXPECT_FALSE(has(extended.ecx, 2)) << "SVM";
    EXPECT_FALSE(has(extended.edx, 26)) << "1 GiB pages";
    EXPECT_TRUE(has(extended.edx, 29)) << "long mode";
    EXPECT_EQ(find(policy, 0xa), nullptr);
    EXPECT_EQ(find(policy, 0x40000000), nullptr) << "the nucleus answers these itself";
    EXPECT_EQ(find(policy, 0x8000001f), nullptr);
}

TEST(CpuidPolicy, WithoutXsaveNoVectorExtension) {
    const CpuidPolicy policy = policy_with(0);
    const auto& one = *find(policy, 1);
    for (const unsigned bit : {12U /* FMA */, 26U /* XSAVE */, 27U /* OSXSAVE */, 28U /* AVX */, 29U /* F16C */}) {
        EXPECT_FALSE(has(one.ecx, bit)) << bit;
    }
    EXPECT_FALSE(has(find(policy, 7)->ebx, 5)) << "AVX2";
    EXPECT_EQ(find(policy, 0xd), nullptr);
    EXPECT_LT(find(policy, 0)->eax, 0xdU);
}

TEST(CpuidPolicy, AvxWithoutAvx512) {
    const CpuidPolicy policy = policy_with(0x7);
    EXPECT_TRUE(has(find(policy, 7)->ebx, 5)) << "AVX2";
    EXPECT_FALSE(has(find(policy, 7)->ebx, 16)) << "AVX512F";
}

TEST(CpuidPolicy, XsaveSizeFollowsTheComponents) {
    for (const auto& [xcr0, size, compacted] :
         {std::tuple{0x3U, 576U, 576U}, {0x7U, 832U, 832U}, {0xe7U, 2688U, 2432U}}) {
        const CpuidPolicy policy = policy_with(xcr0);
        const auto& main = *find(policy, 0xd);
        EXPECT_EQ(main.eax, xcr0);
        EXPECT_EQ(main.edx, 0U);
        EXPECT_EQ(main.ebx, size);
        EXPECT_EQ(main.ecx, size);
        EXPECT_TRUE(has(find(policy, 0xd, 1)->eax, 1)) << "XSAVEC";
        EXPECT_EQ(find(policy, 0xd, 1)->ebx, compacted) << "what Linux compares with its own sum";
        EXPECT_FALSE(has(find(policy, 0xd, 1)->eax, 3)) << "XSAVES is privileged";
        EXPECT_EQ(find(policy, 0xd, 9), nullptr) << "PKU";
        EXPECT_EQ(find(policy, 0xd, 7) != nullptr, xcr0 == 0xe7U);
    }
}

TEST(CpuidPolicy, NucleusKeepsItsApic) {
    const kvm_cpuid_entry2 one = machine_leaf(policy_with(0xe7), 1);
    EXPECT_TRUE(has(one.ecx, 21)) << "x2APIC";
    EXPECT_TRUE(has(one.ecx, 24)) << "TSC deadline";
    EXPECT_TRUE(has(one.edx, 9)) << "APIC";
}

TEST(CpuidPolicy, KvmHearsOfSmepForTheNucleusAndTheGuestDoesNot) {
    constexpr unsigned smep = 7;
    const CpuidPolicy policy = policy_with(0xe7);
    EXPECT_TRUE(has(machine_leaf(policy, 7).ebx, smep));
    EXPECT_FALSE(has(find(policy, 7)->ebx, smep));
    Substrate substrate;
    CpuidTable without = generous();
    for (kvm_cpuid_entry2& entry : without) {
        entry.ebx &= entry.function == 7 ? ~(1U << smep) : ~0U;
    }
    EXPECT_FALSE(has(machine_leaf(make_cpuid_policy(substrate, without), 7).ebx, smep));
}

TEST(CpuidPolicy, NeverMoreLeavesThanTheNucleusHolds) {
    CpuidTable many;
    for (std::uint32_t i = 0; i < 300; i++) {
        many.push_back(leaf(2, i, 0, 0, 0, 0));
    }
    EXPECT_EQ(make_cpuid_policy({}, many).guest.size(), doorbell::MAX_CPUID_LEAVES);
    EXPECT_TRUE(make_cpuid_policy({}, {}).guest.empty());
}

TEST(CpuidPolicy, WhereRing3IsNativeTheProcessorIsAsked) {
    Substrate substrate;
    substrate.ring3_native = true;
    const CpuidPolicy policy = make_cpuid_policy(substrate, generous());
    ASSERT_NE(find(policy, 0), nullptr);
    EXPECT_LE(policy.guest.size(), doorbell::MAX_CPUID_LEAVES);
    EXPECT_EQ(policy.machine.size(), generous().size()) << "KVM hears what it offers";
}

} // namespace
} // namespace parapet::vmm
