// SPDX-License-Identifier: Apache-2.0
// The instructions by which kernels write page-table entries.
#include "hypercall-emu/core/store.hpp"

#include "hypercall-emu/core/alu.hpp"

namespace parapet::nucleus {

namespace {

constexpr unsigned RAX = 0, RCX = 1, RDX = 2, RBX = 3;

enum class Kind : u8 {
    none,
    move,           ///< mov r/m, r and movnti
    move_immediate, ///< mov r/m, immediate
    move_moffs,     ///< mov moffs, rax; stos
    move_string,
    exchange,
    compare_exchange,
    compare_exchange8b,
    exchange_add,
    alu_register,
    alu_immediate,
    step,  ///< inc, dec
    unary, ///< not, neg
    bit_register,
    bit_immediate,
};

Kind kind_of(const Instruction& insn) {
    const unsigned reg = insn.reg & 7u;
    switch (insn.opcode) {
    case 0x88:
    case 0x89:
    case 0x0fc3:
        return Kind::move;
    case 0xc6:
    case 0xc7:
        return reg == 0 ? Kind::move_immediate : Kind::none;
    case 0xa2:
    case 0xa3:
    case 0xaa:
    case 0xab:
        return Kind::move_moffs;
    case 0xa4:
    case 0xa5:
        return Kind::move_string;
    case 0x86:
    case 0x87:
        return Kind::exchange;
    case 0x0fb0:
    case 0x0fb1:
        return Kind::compare_exchange;
    case 0x0fc7:
        return reg == 1 && (insn.rex & Instruction::REX_W) == 0 ? Kind::compare_exchange8b : Kind::none;
    case 0x0fc0:
    case 0x0fc1:
        return Kind::exchange_add;
    case 0x80:
    case 0x81:
    case 0x83:
        return reg != 7 ? Kind::alu_immediate : Kind::none; // 7: cmp
    case 0xfe:
    case 0xff:
        return reg < 2 ? Kind::step : Kind::none;
    case 0xf6:
    case 0xf7:
        return reg == 2 || reg == 3 ? Kind::unary : Kind::none;
    case 0x0fab:
    case 0x0fb3:
    case 0x0fbb:
        return Kind::bit_register;
    case 0x0fba:
        return reg >= 5 ? Kind::bit_immediate : Kind::none; // 4: bt
    default:                                                // 00, 01, 08, 09, ... 30, 31: operation r/m, r
        return insn.opcode < 0x38 && (insn.opcode & 6) == 0 ? Kind::alu_register : Kind::none;
    }
}

unsigned size_of(const Instruction& insn, Kind kind) {
    switch (kind) {
    case Kind::compare_exchange8b:
        return 8;
    case Kind::bit_register:
    case Kind::bit_immediate:
        return insn.operand_size;
    default:
        return (insn.opcode & 1) == 0 ? 1 : insn.operand_size;
    }
}

/// bts (5), btr (6), btc (7) of bit `bit`; CF is its old value.
u64 change_bit(unsigned operation, u64 old, unsigned bit, u64& flags) {
    const u64 mask = 1ULL << bit;
    flags = (flags & ~rflags::CF) | ((old & mask) != 0 ? rflags::CF : 0);
    if (operation == 5)
        return old | mask;
    return operation == 6 ? old & ~mask : old ^ mask;
}

unsigned bit_operation(const Instruction& insn) {
    switch (insn.opcode) {
    case 0x0fab:
        return 5;
    case 0x0fb3:
        return 6;
    case 0x0fbb:
        return 7;
    default:
        return insn.reg & 7;
    }
}

/// 16, 32, 64: 4, 5, 6.
unsigned bit_shift(unsigned size) {
    return size == 2 ? 4 : size == 4 ? 5 : 6;
}

StoreEffect compare_exchange(const Instruction& insn, unsigned size, u64 old, Regs& regs) {
    const bool rex = insn.rex != 0;
    const u64 expected = regs.rax & size_mask(size);
    (void)alu(Alu::cmp, expected, old, size, regs.rflags);
    if (expected == old)
        return {read_register(regs, insn.reg, size, rex), true};
    write_register(regs, RAX, size, rex, old);
    return {old, true};
}

StoreEffect compare_exchange8b(u64 old, Regs& regs) {
    const u64 expected = (regs.rdx << 32) | (regs.rax & 0xffffffff);
    regs.rflags &= ~rflags::ZF;
    if (expected == old) {
        regs.rflags |= rflags::ZF;
        return {(read_register(regs, RCX, 4, true) << 32) | read_register(regs, RBX, 4, true), true};
    }
    write_register(regs, RAX, 4, true, old);
    write_register(regs, RDX, 4, true, old >> 32);
    return {old, true};
}

} // namespace

bool store_target(const Instruction& insn, const Regs& regs, StoreTarget& target) {
    const Kind kind = kind_of(insn);
    if (kind == Kind::none)
        return false;
    target.size = kind == Kind::move && insn.opcode == 0x0fc3 ? insn.operand_size : size_of(insn, kind);
    if (is_stos(insn) || is_movs(insn)) {
        target.address = regs.rdi & size_mask(insn.address_size);
        return insn.segment == Segment::flat;
    }
    if (!insn.has_memory)
        return false;
    target.address = insn.address;
    if (kind == Kind::bit_register) { // the register counts bits from the operand's address on, either way
        u64 offset = read_register(regs, insn.reg, target.size, true);
        if (target.size < 8 && (offset >> (target.size * 8 - 1)) != 0)
            offset |= ~size_mask(target.size);
        const auto units = static_cast<u64>(static_cast<int64_t>(offset) >> bit_shift(target.size));
        target.address = (target.address + units * target.size) & size_mask(insn.address_size);
    }
    return true;
}

StoreEffect execute_store(const Instruction& insn, const StoreTarget& target, u64 old, u64 source, Regs& regs) {
    const bool rex = insn.rex != 0;
    const unsigned size = target.size;
    const u64 mask = size_mask(size);
    old &= mask;
    const auto operand = [&] { return read_register(regs, insn.reg, size, rex); };
    switch (kind_of(insn)) {
    case Kind::move:
        return {operand(), false};
    case Kind::move_immediate:
        return {insn.immediate & mask, false};
    case Kind::move_moffs:
        return {regs.rax & mask, false};
    case Kind::move_string:
        return {source & mask, false};
    case Kind::exchange: {
        const u64 value = operand();
        write_register(regs, insn.reg, size, rex, old);
        return {value, false};
    }
    case Kind::compare_exchange:
        return compare_exchange(insn, size, old, regs);
    case Kind::compare_exchange8b:
        return compare_exchange8b(old, regs);
    case Kind::exchange_add: {
        const u64 value = alu(Alu::add, old, operand(), size, regs.rflags);
        write_register(regs, insn.reg, size, rex, old);
        return {value, true};
    }
    case Kind::alu_register:
        return {alu(static_cast<Alu>(insn.opcode >> 3), old, operand(), size, regs.rflags), true};
    case Kind::alu_immediate:
        return {alu(static_cast<Alu>(insn.reg & 7), old, insn.immediate, size, regs.rflags), true};
    case Kind::step:
        return {alu_step((insn.reg & 7) == 0 ? Alu::add : Alu::sub, old, size, regs.rflags), true};
    case Kind::unary:
        return {(insn.reg & 7) == 2 ? ~old & mask : alu_negate(old, size, regs.rflags), true};
    case Kind::bit_register: {
        const auto bit = static_cast<unsigned>(general_register(regs, insn.reg) & (size * 8 - 1));
        return {change_bit(bit_operation(insn), old, bit, regs.rflags), true};
    }
    case Kind::bit_immediate: {
        const auto bit = static_cast<unsigned>(insn.immediate & (size * 8 - 1));
        return {change_bit(bit_operation(insn), old, bit, regs.rflags), true};
    }
    default:
        return {old, true};
    }
}

} // namespace parapet::nucleus
