// SPDX-License-Identifier: Apache-2.0
// The instruction decoder against binutils, and against bytes that are no instructions.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "hypercall-emu/core/decode.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 NO_ADDRESS = ~0ULL;
constexpr u64 RIP = 0xffffffff81000000;

struct Row {
    unsigned length;
    u8 bytes[MAX_INSTRUCTION];
    u64 address;
    const char* text;
};

constexpr Row CORPUS[] = {
#include "tests/unit/nucleus/decode_corpus.inc"
};

/// As register() in decode_corpus.py.
Regs corpus_registers() {
    Regs regs{};
    for (unsigned number = 0; number < 16; number++)
        general_register(regs, number) = 0x1111000000001000 + number * 0x0000010203040506;
    regs.rip = RIP;
    return regs;
}

/// Decode from a buffer of exactly `count` bytes, so that ASan sees a read beyond it.
Decoding decode_exactly(const u8* bytes, unsigned count, Instruction& insn, const SegmentBases* bases = nullptr) {
    const std::unique_ptr<u8[]> exact{new u8[count]};
    std::memcpy(exact.get(), bytes, count);
    return decode(exact.get(), count, corpus_registers(), bases, insn);
}

TEST(Decode, AgreesWithBinutils) {
    const SegmentBases bases{0, 0};
    for (const Row& row : CORPUS) {
        Instruction insn;
        ASSERT_EQ(decode_exactly(row.bytes, row.length, insn, &bases), Decoding::ok) << row.text;
        EXPECT_EQ(insn.length, row.length) << row.text;
        if (row.address != NO_ADDRESS) {
            EXPECT_TRUE(insn.has_memory) << row.text;
            EXPECT_EQ(insn.address, row.address) << row.text;
        }
    }
}

TEST(Decode, EveryPrefixOfAnInstructionIsTruncated) {
    const SegmentBases bases{0, 0};
    for (const Row& row : CORPUS) {
        for (unsigned count = 0; count < row.length; count++) {
            Instruction insn;
            const Decoding result = decode_exactly(row.bytes, count, insn, &bases);
            EXPECT_EQ(result, Decoding::truncated) << row.text << " at " << count;
        }
    }
}

TEST(Decode, WhatFollowsDoesNotMatter) {
    const SegmentBases bases{0, 0};
    for (const Row& row : CORPUS) {
        u8 bytes[MAX_INSTRUCTION];
        std::memset(bytes, 0xcc, sizeof(bytes));
        std::memcpy(bytes, row.bytes, row.length);
        Instruction insn;
        ASSERT_EQ(decode_exactly(bytes, sizeof(bytes), insn, &bases), Decoding::ok) << row.text;
        EXPECT_EQ(insn.length, row.length) << row.text;
    }
}

TEST(Decode, RandomBytesNeverReadBeyondTheirEnd) {
    std::mt19937_64 random{42};
    unsigned decoded = 0;
    for (unsigned round = 0; round < 400'000; round++) {
        u8 bytes[20];
        for (u8& byte : bytes)
            byte = static_cast<u8>(random());
        if (round % 3 == 0) // many prefixes
            std::memset(bytes, "\x66\xf0\x48\x65\x67"[random() % 5], random() % 16);
        const auto count = static_cast<unsigned>(random() % (sizeof(bytes) + 1));
        Instruction insn;
        if (decode_exactly(bytes, count, insn) != Decoding::ok)
            continue;
        decoded++;
        EXPECT_GT(insn.length, 0);
        EXPECT_LE(insn.length, min_of(count, MAX_INSTRUCTION));
    }
    EXPECT_GT(decoded, 50'000u);
}

TEST(Decode, MoreThanFifteenBytesIsNoInstruction) {
    u8 bytes[20];
    std::memset(bytes, 0x66, sizeof(bytes));
    bytes[19] = 0x90;
    Instruction insn;
    EXPECT_EQ(decode_exactly(bytes, 20, insn), Decoding::unsupported);
    EXPECT_EQ(decode_exactly(bytes, 15, insn), Decoding::unsupported);
    EXPECT_EQ(decode_exactly(bytes, 14, insn), Decoding::truncated);
}

TEST(Decode, RefusesWhatIsInvalidInLongMode) {
    constexpr u8 invalid[] = {0x06, 0x27, 0x37, 0x60, 0x62, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd6, 0xea};
    for (const u8 opcode : invalid) {
        const u8 bytes[MAX_INSTRUCTION] = {opcode};
        Instruction insn;
        EXPECT_EQ(decode_exactly(bytes, sizeof(bytes), insn), Decoding::unsupported) << unsigned{opcode};
    }
}

TEST(Decode, SegmentOverrideNeedsABase) {
    const u8 code[] = {0x65, 0x48, 0x89, 0x07}; // mov %rax,%gs:(%rdi)
    Instruction insn;
    EXPECT_EQ(decode_exactly(code, sizeof(code), insn), Decoding::unsupported);
    const SegmentBases bases{0x1000, 0x2000};
    ASSERT_EQ(decode_exactly(code, sizeof(code), insn, &bases), Decoding::ok);
    EXPECT_EQ(insn.address, corpus_registers().rdi + 0x2000);
}

TEST(Decode, RexCountsOnlyRightBeforeTheOpcode) {
    const u8 code[] = {0x48, 0x66, 0x89, 0x07}; // rex.w, then an operand prefix: mov %ax,(%rdi)
    Instruction insn;
    ASSERT_EQ(decode_exactly(code, sizeof(code), insn), Decoding::ok);
    EXPECT_EQ(insn.rex, 0);
    EXPECT_EQ(insn.operand_size, 2);
}

TEST(Decode, ByteRegistersDependOnRex) {
    Regs regs{};
    regs.rax = 0x1122334455667788;
    EXPECT_EQ(read_register(regs, 4, 1, false), 0x77u); // ah
    EXPECT_EQ(read_register(regs, 4, 1, true), 0u);     // spl
    write_register(regs, 4, 1, false, 0xee);
    EXPECT_EQ(regs.rax, 0x112233445566ee88u);
    write_register(regs, 0, 2, false, 0xffff);
    EXPECT_EQ(regs.rax, 0x112233445566ffffu);
    write_register(regs, 0, 4, false, 0x80000000);
    EXPECT_EQ(regs.rax, 0x80000000u);
}

} // namespace
} // namespace parapet::nucleus::test
