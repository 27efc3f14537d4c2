// SPDX-License-Identifier: Apache-2.0
// Instruction decoding by two tables of what follows each opcode.
#include "hypercall-emu/core/decode.hpp"

namespace parapet::nucleus {

namespace {

/// What follows an opcode.
enum Follows : u8 {
    NOTHING = 0,
    MODRM = 1,
    IMM8 = 2,
    IMM16 = 4,
    IMM32 = 8,        ///< 32 bits even with an operand prefix
    IMM_OPERAND = 16, ///< 16 or 32 bits by operand size
    IMM_FULL = 32,    ///< 16, 32 or 64 bits by operand size
    MOFFS = 64,       ///< an address by address size
    INVALID = 128,
};

struct Table {
    u8 follows[256];

    constexpr void set(unsigned first, unsigned last, unsigned what) {
        for (unsigned i = first; i <= last; i++)
            follows[i] = static_cast<u8>(what);
    }
};

constexpr Table one_byte_table() {
    Table t{};
    for (unsigned row = 0; row < 0x40; row += 8) { // add, or, adc, sbb, and, sub, xor, cmp
        t.set(row, row + 3, MODRM);
        t.set(row + 4, row + 4, IMM8);
        t.set(row + 5, row + 5, IMM_OPERAND);
        t.set(row + 6, row + 7, INVALID);
    }
    t.set(0x60, 0x62, INVALID);
    t.set(0x63, 0x63, MODRM);
    t.set(0x68, 0x68, IMM_OPERAND);
    t.set(0x69, 0x69, MODRM | IMM_OPERAND);
    t.set(0x6a, 0x6a, IMM8);
    t.set(0x6b, 0x6b, MODRM | IMM8);
    t.set(0x70, 0x7f, IMM8);
    t.set(0x80, 0x80, MODRM | IMM8);
    t.set(0x81, 0x81, MODRM | IMM_OPERAND);
    t.set(0x82, 0x82, INVALID);
    t.set(0x83, 0x83, MODRM | IMM8);
    t.set(0x84, 0x8f, MODRM);
    t.set(0x9a, 0x9a, INVALID);
    t.set(0xa0, 0xa3, MOFFS);
    t.set(0xa8, 0xa8, IMM8);
    t.set(0xa9, 0xa9, IMM_OPERAND);
    t.set(0xb0, 0xb7, IMM8);
    t.set(0xb8, 0xbf, IMM_FULL);
    t.set(0xc0, 0xc1, MODRM | IMM8);
    t.set(0xc2, 0xc2, IMM16);
    t.set(0xc4, 0xc5, INVALID);
    t.set(0xc6, 0xc6, MODRM | IMM8);
    t.set(0xc7, 0xc7, MODRM | IMM_OPERAND);
    t.set(0xc8, 0xc8, IMM16 | IMM8);
    t.set(0xca, 0xca, IMM16);
    t.set(0xcd, 0xcd, IMM8);
    t.set(0xce, 0xce, INVALID);
    t.set(0xd0, 0xd3, MODRM);
    t.set(0xd4, 0xd6, INVALID);
    t.set(0xd8, 0xdf, MODRM);
    t.set(0xe0, 0xe7, IMM8);
    t.set(0xe8, 0xe9, IMM32);
    t.set(0xea, 0xea, INVALID);
    t.set(0xeb, 0xeb, IMM8);
    t.set(0xf6, 0xf7, MODRM); // and an immediate, if test
    t.set(0xfe, 0xff, MODRM);
    return t;
}

constexpr Table two_byte_table() {
    Table t{};
    t.set(0x00, 0x03, MODRM);
    t.set(0x04, 0x04, INVALID);
    t.set(0x0a, 0x0a, INVALID);
    t.set(0x0c, 0x0c, INVALID);
    t.set(0x0d, 0x0d, MODRM);
    t.set(0x0f, 0x0f, INVALID);
    t.set(0x10, 0x23, MODRM);
    t.set(0x24, 0x27, INVALID);
    t.set(0x28, 0x2f, MODRM);
    t.set(0x36, 0x36, INVALID);
    t.set(0x38, 0x3f, INVALID);
    t.set(0x40, 0x6f, MODRM);
    t.set(0x70, 0x73, MODRM | IMM8);
    t.set(0x74, 0x76, MODRM);
    t.set(0x78, 0x7f, MODRM);
    t.set(0x80, 0x8f, IMM32);
    t.set(0x90, 0x9f, MODRM);
    t.set(0xa3, 0xa3, MODRM);
    t.set(0xa4, 0xa4, MODRM | IMM8);
    t.set(0xa5, 0xa5, MODRM);
    t.set(0xa6, 0xa7, INVALID);
    t.set(0xab, 0xab, MODRM);
    t.set(0xac, 0xac, MODRM | IMM8);
    t.set(0xad, 0xb9, MODRM);
    t.set(0xba, 0xba, MODRM | IMM8);
    t.set(0xbb, 0xc1, MODRM);
    t.set(0xc2, 0xc2, MODRM | IMM8);
    t.set(0xc3, 0xc3, MODRM);
    t.set(0xc4, 0xc6, MODRM | IMM8);
    t.set(0xc7, 0xc7, MODRM);
    t.set(0xd0, 0xff, MODRM);
    return t;
}

constexpr Table ONE_BYTE = one_byte_table();
constexpr Table TWO_BYTE = two_byte_table();

constexpr u64 Regs::*GENERAL[16] = {&Regs::rax, &Regs::rcx, &Regs::rdx, &Regs::rbx, &Regs::rsp, &Regs::rbp,
                                    &Regs::rsi, &Regs::rdi, &Regs::r8,  &Regs::r9,  &Regs::r10, &Regs::r11,
                                    &Regs::r12, &Regs::r13, &Regs::r14, &Regs::r15};

/// The bytes of the instruction; reading past the end is remembered and gives zeros.
class Bytes {
public:
    Bytes(const u8* bytes, unsigned count) : bytes_{bytes}, count_{min_of(count, MAX_INSTRUCTION)} {}

    u8 next() {
        if (position_ == count_) {
            ended_ = true;
            return 0;
        }
        return bytes_[position_++];
    }
    /// Little-endian number of `size` bytes, sign-extended.
    u64 number(unsigned size) {
        u64 value = 0;
        for (unsigned i = 0; i < size; i++)
            value |= static_cast<u64>(next()) << (8 * i);
        if (size < 8 && ((value >> (8 * size - 1)) & 1) != 0)
            value |= ~size_mask(size);
        return value;
    }
    [[nodiscard]] unsigned position() const { return position_; }
    [[nodiscard]] bool ended() const { return ended_; }

private:
    const u8* bytes_;
    unsigned count_;
    unsigned position_ = 0;
    bool ended_ = false;
};

/// Prefixes up to and including the first opcode byte, which is returned.
u8 decode_prefixes(Bytes& bytes, Instruction& insn) {
    for (;;) {
        const u8 byte = bytes.next();
        if ((byte & 0xf0) == 0x40) {
            insn.rex = byte;
            continue;
        }
        switch (byte) {
        case 0x26: // es, cs, ss, ds: without effect
        case 0x2e:
        case 0x36:
        case 0x3e:
            break;
        case 0x64:
            insn.segment = Segment::fs;
            break;
        case 0x65:
            insn.segment = Segment::gs;
            break;
        case 0x66:
            insn.operand_prefix = true;
            break;
        case 0x67:
            insn.address_size = 4;
            break;
        case 0xf0:
            insn.lock = true;
            break;
        case 0xf2:
            insn.repne = true;
            insn.rep = false;
            break;
        case 0xf3:
            insn.rep = true;
            insn.repne = false;
            break;
        default:
            return byte;
        }
        insn.rex = 0; // a REX prefix counts only right before the opcode
        if (bytes.ended())
            return 0;
    }
}

/// ModRM, SIB and displacement. True: `address` still lacks the address of the next instruction.
bool decode_modrm(Bytes& bytes, const Regs& regs, Instruction& insn) {
    insn.has_modrm = true;
    insn.modrm = bytes.next();
    insn.mod = insn.modrm >> 6;
    insn.reg = static_cast<u8>(((insn.modrm >> 3) & 7) | ((insn.rex & Instruction::REX_R) != 0 ? 8 : 0));
    const unsigned high_base = (insn.rex & Instruction::REX_B) != 0 ? 8 : 0;
    const unsigned low = insn.modrm & 7;
    insn.rm = static_cast<u8>(low | high_base);
    const bool move_system = insn.opcode >= 0x0f20 && insn.opcode <= 0x0f23; // registers whatever `mod` says
    if (insn.mod == 3 || move_system)
        return false;

    insn.has_memory = true;
    bool relative = false;
    if (low == 4) {
        const u8 sib = bytes.next();
        const unsigned index = ((sib >> 3) & 7u) | ((insn.rex & Instruction::REX_X) != 0 ? 8u : 0u);
        if (index != 4)
            insn.address = general_register(regs, index) << (sib >> 6);
        if ((sib & 7) == 5 && insn.mod == 0)
            insn.address += bytes.number(4);
        else
            insn.address += general_register(regs, (sib & 7u) | high_base);
    } else if (low == 5 && insn.mod == 0) {
        insn.address = bytes.number(4);
        relative = true;
    } else {
        insn.address = general_register(regs, insn.rm);
    }
    if (insn.mod == 1)
        insn.address += bytes.number(1);
    else if (insn.mod == 2)
        insn.address += bytes.number(4);
    return relative;
}

void decode_immediate(Bytes& bytes, unsigned follows, Instruction& insn) {
    const unsigned operand = insn.operand_size;
    if ((follows & IMM16) != 0)
        insn.immediate = bytes.number(2);
    if ((follows & IMM8) != 0)
        insn.immediate = bytes.number(1);
    if ((follows & IMM32) != 0)
        insn.immediate = bytes.number(4);
    if ((follows & IMM_OPERAND) != 0)
        insn.immediate = bytes.number(operand == 2 ? 2 : 4);
    if ((follows & IMM_FULL) != 0)
        insn.immediate = bytes.number(operand);
}

} // namespace

u64& general_register(Regs& regs, unsigned number) {
    return regs.*GENERAL[number & 15];
}

u64 general_register(const Regs& regs, unsigned number) {
    return regs.*GENERAL[number & 15];
}

u64 read_register(const Regs& regs, unsigned number, unsigned size, bool rex) {
    if (size == 1 && !rex && number >= 4 && number < 8)
        return (general_register(regs, number - 4) >> 8) & 0xff;
    return general_register(regs, number) & size_mask(size);
}

void write_register(Regs& regs, unsigned number, unsigned size, bool rex, u64 value) {
    if (size == 1 && !rex && number >= 4 && number < 8) {
        u64& whole = general_register(regs, number - 4);
        whole = (whole & ~0xff00ULL) | ((value & 0xff) << 8);
        return;
    }
    u64& whole = general_register(regs, number);
    const u64 mask = size == 4 ? ~0ULL : size_mask(size);
    whole = (whole & ~mask) | (value & size_mask(size));
}

Decoding decode(const u8* bytes_in, unsigned count, const Regs& regs, const SegmentBases* bases, Instruction& insn) {
    insn = Instruction{};
    insn.address_size = 8;
    Bytes bytes{bytes_in, count};

    insn.opcode = decode_prefixes(bytes, insn);
    if (bytes.ended())
        return count >= MAX_INSTRUCTION ? Decoding::unsupported : Decoding::truncated;
    unsigned follows = ONE_BYTE.follows[insn.opcode];
    if (insn.opcode == 0x0f) {
        const u8 second = bytes.next();
        insn.opcode = static_cast<u16>(Instruction::TWO_BYTE | second);
        follows = bytes.ended() ? static_cast<unsigned>(NOTHING) : TWO_BYTE.follows[second];
    }
    if ((follows & INVALID) != 0)
        return Decoding::unsupported;
    const bool wide = (insn.rex & Instruction::REX_W) != 0;
    insn.operand_size = wide ? 8 : insn.operand_prefix ? 2 : 4;

    bool relative = false;
    if ((follows & MODRM) != 0) {
        relative = decode_modrm(bytes, regs, insn);
        if ((insn.opcode == 0xf6 || insn.opcode == 0xf7) && (insn.reg & 7) < 2) // test r/m, immediate
            follows |= insn.opcode == 0xf6 ? IMM8 : IMM_OPERAND;
    }
    if ((follows & MOFFS) != 0) {
        insn.has_memory = true;
        insn.address = bytes.number(insn.address_size);
    }
    decode_immediate(bytes, follows, insn);
    if (bytes.ended())
        return count >= MAX_INSTRUCTION ? Decoding::unsupported : Decoding::truncated;

    insn.length = static_cast<u8>(bytes.position());
    if (!insn.has_memory)
        return Decoding::ok;
    if (relative)
        insn.address += regs.rip + insn.length;
    if (insn.address_size == 4)
        insn.address &= 0xffffffff;
    if (insn.segment != Segment::flat) {
        if (bases == nullptr)
            return Decoding::unsupported;
        insn.address += insn.segment == Segment::fs ? bases->fs : bases->gs;
    }
    return Decoding::ok;
}

} // namespace parapet::nucleus
