// SPDX-License-Identifier: Apache-2.0
#include "vmm/crash_report.hpp"

#include "vmm/names.hpp"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace parapet::vmm {
namespace {

TEST(CrashReport, SaysWhatItHas) {
    doorbell::CrashReport report{};
    std::strcpy(report.reason, "no handler");
    report.regs.rip = 0xffffffff81000123;
    report.regs.vector = 14;
    report.nr_calls = 1;
    report.calls[0].number = 1;
    report.calls[0].result = -22;
    report.walk_levels = 2;
    report.walk[1] = 0xabc067;
    report.nr_code = 2;
    report.code[1] = 0x0b;
    const std::string text = format_crash(report, false);
    for (const char* part : {"no handler", "ffffffff81000123", "#PF", "mmu_update(", "= -22", "L3 abc067", " 0b"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    }
    EXPECT_EQ(text.find("nucleus"), std::string::npos);
    EXPECT_NE(format_crash(report, true).find("bug in the nucleus"), std::string::npos);
}

TEST(CrashReport, GarbageIsBounded) {
    std::mt19937_64 random{1};
    for (int round = 0; round < 500; round++) {
        doorbell::CrashReport report;
        auto* bytes = reinterpret_cast<unsigned char*>(&report);
        std::generate(bytes, bytes + sizeof(report),
                      [&] { return static_cast<unsigned char>(round < 3 ? 0xff >> round : random()); });
        const std::string text = format_crash(report, false);
        ASSERT_LT(text.size(), 20'000U);
        ASSERT_FALSE(text.empty());
    }
}

TEST(Names, UnknownNumbersHaveAName) {
    for (const std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{41}, std::uint64_t{63}, std::uint64_t{64}, ~std::uint64_t{0}}) {
        EXPECT_NE(hypercall_name(number), nullptr);
        EXPECT_NE(exception_name(number), nullptr);
    }
    EXPECT_STREQ(hypercall_name(~std::uint64_t{0}), "?");
    EXPECT_STREQ(hypercall_name(1), "mmu_update");
}

} // namespace
} // namespace parapet::vmm
