// SPDX-License-Identifier: Apache-2.0
// A decoder of 64-bit x86 instructions, as far as emulation needs one: prefixes, one- and two-byte opcodes, ModRM, SIB,
// displacement, immediate. VEX, EVEX and the three-byte maps are refused. Source: AMD64 APM volume 3, chapter 1.
#pragma once

#include "hypercall-emu/core/regs.hpp"
#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

inline constexpr unsigned MAX_INSTRUCTION = 15;

enum class Segment : u8 { flat, fs, gs };

struct Instruction {
    u16 opcode; ///< 0x00-0xff, or TWO_BYTE | second byte
    u8 length;
    u8 rex; ///< 0: none
    u8 modrm, mod, reg, rm;
    u8 operand_size; ///< 2, 4 or 8: of the form that is not a byte's
    u8 address_size; ///< 4 or 8
    Segment segment;
    bool lock, rep, repne, operand_prefix;
    bool has_modrm;
    bool has_memory; ///< `address` is that of the ModRM or moffs operand
    u64 address;
    u64 immediate; ///< sign-extended

    static constexpr u16 TWO_BYTE = 0x0f00;
    static constexpr u8 REX_W = 8, REX_R = 4, REX_X = 2, REX_B = 1;
};

/// Bases for operands with an FS or GS override.
struct SegmentBases {
    u64 fs, gs;
};

enum class Decoding : u8 {
    ok,
    truncated,  ///< more bytes are needed
    unsupported ///< not an instruction that this decoder knows, or an override without `bases`
};

/// Decode the instruction at `bytes`. Reads `count` bytes at most; `regs.rip` is the address of bytes[0].
[[nodiscard]] Decoding decode(const u8* bytes, unsigned count, const Regs& regs, const SegmentBases* bases,
                              Instruction& instruction);

/// A general register by its number in an instruction (0: rax ... 15: r15).
[[nodiscard]] u64& general_register(Regs& regs, unsigned number);
[[nodiscard]] u64 general_register(const Regs& regs, unsigned number);

/// Register operand of `size` bytes; without REX, byte registers 4-7 are ah, ch, dh, bh.
[[nodiscard]] u64 read_register(const Regs& regs, unsigned number, unsigned size, bool rex);
/// As the processor writes it: 4 bytes clear the upper half, 1 and 2 leave the rest.
void write_register(Regs& regs, unsigned number, unsigned size, bool rex, u64 value);

/// All ones in the low `size` bytes.
constexpr u64 size_mask(unsigned size) {
    return size >= 8 ? ~0ULL : (1ULL << (size * 8)) - 1;
}

} // namespace parapet::nucleus
