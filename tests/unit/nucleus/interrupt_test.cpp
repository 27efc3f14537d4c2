// SPDX-License-Identifier: Apache-2.0
// Interrupts as both VM homes take them.
#include "hypercall-emu/ring0/interrupt.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <new>

namespace parapet::nucleus::test {
namespace {

using namespace doorbell;

class Interrupts : public ::testing::Test {
protected:
    struct alignas(4096) Area {
        u8 bytes[AREA_END];
    };
    std::unique_ptr<Area> area = std::make_unique<Area>();
    Vcpu& vcpu = *new (area->bytes + AREA_VCPU) Vcpu{};

    u32& word() { return *reinterpret_cast<u32*>(area->bytes + AREA_PV_EOI); }
};

TEST_F(Interrupts, AreNotedByTheirVector) {
    for (const u64 vector : {TIMER_VECTOR, WAKE_VECTOR})
        EXPECT_TRUE(note_interrupt(vcpu, vector));
    EXPECT_EQ(vcpu.irq_bits, Vcpu::IRQ_TIMER | Vcpu::IRQ_WAKE);
    EXPECT_TRUE(note_interrupt(vcpu, MAILBOX_VECTOR));
    EXPECT_EQ(vcpu.irq_bits, Vcpu::IRQ_TIMER | Vcpu::IRQ_WAKE | Vcpu::IRQ_MAILBOX);
}

TEST_F(Interrupts, EndByTheWordOnceWhereItIsSet) {
    word() = 1;
    EXPECT_FALSE(note_interrupt(vcpu, TIMER_VECTOR));
    EXPECT_EQ(word(), 0u);
    EXPECT_TRUE(note_interrupt(vcpu, TIMER_VECTOR));
    EXPECT_EQ(vcpu.irq_bits, Vcpu::IRQ_TIMER);
}

TEST_F(Interrupts, SpuriousOnesHaveNoEnd) {
    word() = 1; // of another one
    EXPECT_FALSE(note_interrupt(vcpu, SPURIOUS_VECTOR));
    EXPECT_EQ(word(), 1u);
    EXPECT_EQ(vcpu.irq_bits, 0u);
}

TEST(Wait, IsOverForAnInterruptThatComesBeforeIt) {
    const u8 sti_hlt_cli[] = {0xfb, 0xf4, 0xfa};
    const u64 start = reinterpret_cast<u64>(sti_hlt_cli);
    EXPECT_EQ(end_wait(start + 1), start + 2);
    EXPECT_EQ(end_wait(start + 2), start + 2);
}

} // namespace
} // namespace parapet::nucleus::test
