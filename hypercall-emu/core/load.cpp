// SPDX-License-Identifier: Apache-2.0
// Loads from I/O memory; see load.hpp. Opcodes: AMD64 APM volumes 3 and 4.
#include "hypercall-emu/core/load.hpp"

#include "hypercall-emu/core/alu.hpp"
#include "hypercall-emu/core/store.hpp"

namespace parapet::nucleus {

namespace {

constexpr unsigned RAX = 0;
constexpr u64 ONES = ~0ULL;

enum class Kind : u8 {
    none,
    move,        ///< mov r, r/m; mov rax, moffs; lods
    zero_extend, ///< movzx
    sign_extend, ///< movsx, movsxd
    alu,         ///< operation r, r/m
    compare,     ///< cmp r/m, r
    compare_immediate,
    test,
    test_immediate,
    bit_test,
    string, ///< movs
    vector,
};

Kind kind_of(const Instruction& insn) {
    const unsigned reg = insn.reg & 7u;
    switch (insn.opcode) {
    case 0x8a:
    case 0x8b:
    case 0xa0:
    case 0xa1:
    case 0xac:
    case 0xad:
        return Kind::move;
    case 0xa4:
    case 0xa5:
        return Kind::string;
    case 0x0fb6:
    case 0x0fb7:
        return Kind::zero_extend;
    case 0x63:
    case 0x0fbe:
    case 0x0fbf:
        return Kind::sign_extend;
    case 0x38:
    case 0x39:
        return Kind::compare;
    case 0x80:
    case 0x81:
    case 0x83:
        return reg == 7 ? Kind::compare_immediate : Kind::none;
    case 0x84:
    case 0x85:
        return Kind::test;
    case 0xf6:
    case 0xf7:
        return reg < 2 ? Kind::test_immediate : Kind::none;
    case 0x0fa3:
        return Kind::bit_test;
    case 0x0fba:
        return reg == 4 ? Kind::bit_test : Kind::none;
    case 0x0f10: // movups, movupd, movss, movsd
    case 0x0f28: // movaps, movapd
        return Kind::vector;
    case 0x0f6e: // movd, movq
        return insn.operand_prefix ? Kind::vector : Kind::none;
    case 0x0f6f: // movdqa, movdqu; without a prefix it is MMX
        return insn.operand_prefix || insn.rep ? Kind::vector : Kind::none;
    case 0x0f7e: // movq
        return insn.rep ? Kind::vector : Kind::none;
    default: // 02, 03, 0a, 0b, ... 3a, 3b
        return insn.opcode < 0x40 && (insn.opcode & 6) == 2 ? Kind::alu : Kind::none;
    }
}

/// movss, movsd, or all of the register.
unsigned scalar_size(const Instruction& insn) {
    return insn.rep ? 4 : insn.repne ? 8 : 16;
}

unsigned vector_size(const Instruction& insn) {
    switch (insn.opcode) {
    case 0x0f10:
        return scalar_size(insn);
    case 0x0f6e:
        return (insn.rex & Instruction::REX_W) != 0 ? 8 : 4;
    case 0x0f7e:
        return 8;
    default:
        return 16;
    }
}

unsigned size_of(const Instruction& insn, Kind kind) {
    switch (kind) {
    case Kind::vector:
        return vector_size(insn);
    case Kind::zero_extend:
        return insn.opcode == 0x0fb6 ? 1 : 2;
    case Kind::sign_extend:
        return insn.opcode == 0x63 ? 4 : insn.opcode == 0x0fbe ? 1 : 2;
    case Kind::bit_test:
        return insn.operand_size;
    default:
        return (insn.opcode & 1) == 0 ? 1 : insn.operand_size;
    }
}

/// bt m, r counts bits from the operand's address on, either way.
u64 bit_address(const Instruction& insn, const Regs& regs, unsigned size) {
    const unsigned shift = size == 2 ? 4 : size == 4 ? 5 : 6;
    u64 offset = read_register(regs, insn.reg, size, true);
    if (size < 8 && (offset >> (size * 8 - 1)) != 0)
        offset |= ~size_mask(size);
    const auto units = static_cast<u64>(static_cast<int64_t>(offset) >> shift);
    return (insn.address + units * size) & size_mask(insn.address_size);
}

} // namespace

bool find_load(const Instruction& insn, const Regs& regs, Load& load) {
    const Kind kind = kind_of(insn);
    if (kind == Kind::none)
        return false;
    load.vector = kind == Kind::vector;
    load.size = size_of(insn, kind);
    if (kind == Kind::string || is_lods(insn)) {
        load.address = regs.rsi & size_mask(insn.address_size);
        return insn.segment == Segment::flat;
    }
    if (!insn.has_memory)
        return false;
    load.address = insn.opcode == 0x0fa3 ? bit_address(insn, regs, load.size) : insn.address;
    return true;
}

void execute_load(const Instruction& insn, const Load& load, Regs& regs) {
    const bool rex = insn.rex != 0;
    const unsigned size = load.size;
    const u64 ones = size_mask(size);
    const auto operand = [&] { return read_register(regs, insn.reg, size, rex); };
    switch (kind_of(insn)) {
    case Kind::move:
        write_register(regs, insn.has_modrm ? insn.reg : RAX, size, rex, ones);
        break;
    case Kind::zero_extend:
        write_register(regs, insn.reg, insn.operand_size, true, ones);
        break;
    case Kind::sign_extend:
        write_register(regs, insn.reg, insn.operand_size, true, ONES);
        break;
    case Kind::alu: {
        const auto operation = static_cast<Alu>(insn.opcode >> 3);
        const u64 result = alu(operation, operand(), ones, size, regs.rflags);
        if (operation != Alu::cmp)
            write_register(regs, insn.reg, size, rex, result);
        break;
    }
    case Kind::compare:
        (void)alu(Alu::cmp, ones, operand(), size, regs.rflags);
        break;
    case Kind::compare_immediate:
        (void)alu(Alu::cmp, ones, insn.immediate & ones, size, regs.rflags);
        break;
    case Kind::test:
        (void)alu(Alu::bit_and, ones, operand(), size, regs.rflags);
        break;
    case Kind::test_immediate:
        (void)alu(Alu::bit_and, ones, insn.immediate & ones, size, regs.rflags);
        break;
    case Kind::bit_test:
        regs.rflags |= rflags::CF;
        break;
    default:
        break;
    }
}

unsigned plain_store_size(const Instruction& insn) {
    if (!insn.has_memory)
        return 0;
    switch (insn.opcode) {
    case 0x0f11: // movups, movupd, movss, movsd
        return scalar_size(insn);
    case 0x0f29: // movaps, movapd
    case 0x0f2b: // movntps, movntpd
        return 16;
    case 0x0f13: // movlps, movlpd
    case 0x0f17: // movhps, movhpd
    case 0x0fd6: // movq
        return 8;
    case 0x0f7e: // movd, movq; with rep it is a load
        return insn.rep ? 0 : (insn.rex & Instruction::REX_W) != 0 ? 8 : 4;
    case 0x0f7f: // movdqa, movdqu
    case 0x0fe7: // movntdq
        return insn.operand_prefix || insn.rep ? 16 : 8;
    default: // setcc
        return insn.opcode >= 0x0f90 && insn.opcode <= 0x0f9f ? 1 : 0;
    }
}

} // namespace parapet::nucleus
