// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic and its flags.
#include "hypercall-emu/core/alu.hpp"

#include "hypercall-emu/core/decode.hpp"

namespace parapet::nucleus {

namespace {

constexpr u64 CARRY = 1;
constexpr u64 STATUS = CARRY | rflags::PF | rflags::AF | rflags::ZF | rflags::SF | rflags::OF;

bool parity_even(u64 value) {
    u64 bits = value & 0xff;
    bits ^= bits >> 4;
    bits ^= bits >> 2;
    bits ^= bits >> 1;
    return (bits & 1) == 0;
}

u64 result_flags(u64 result, unsigned size) {
    u64 flags = 0;
    if (result == 0)
        flags |= rflags::ZF;
    if (((result >> (size * 8 - 1)) & 1) != 0)
        flags |= rflags::SF;
    if (parity_even(result))
        flags |= rflags::PF;
    return flags;
}

u64 sum(u64 left, u64 right, u64 carry, unsigned size, u64& flags) {
    const u64 result = (left + right + carry) & size_mask(size);
    u64 status = result_flags(result, size);
    if (result < left || (carry != 0 && result == left))
        status |= CARRY;
    if (((left ^ right ^ result) & 0x10) != 0)
        status |= rflags::AF;
    if ((((left ^ result) & (right ^ result)) >> (size * 8 - 1) & 1) != 0)
        status |= rflags::OF;
    flags = (flags & ~STATUS) | status;
    return result;
}

u64 difference(u64 left, u64 right, u64 borrow, unsigned size, u64& flags) {
    const u64 result = (left - right - borrow) & size_mask(size);
    u64 status = result_flags(result, size);
    if (left < right || (borrow != 0 && left == right))
        status |= CARRY;
    if (((left ^ right ^ result) & 0x10) != 0)
        status |= rflags::AF;
    if ((((left ^ right) & (left ^ result)) >> (size * 8 - 1) & 1) != 0)
        status |= rflags::OF;
    flags = (flags & ~STATUS) | status;
    return result;
}

u64 logic(u64 result, unsigned size, u64& flags) {
    flags = (flags & ~STATUS) | result_flags(result, size);
    return result;
}

} // namespace

u64 alu(Alu operation, u64 left, u64 right, unsigned size, u64& flags) {
    left &= size_mask(size);
    right &= size_mask(size);
    const u64 carry = flags & CARRY;
    switch (operation) {
    case Alu::add:
        return sum(left, right, 0, size, flags);
    case Alu::adc:
        return sum(left, right, carry, size, flags);
    case Alu::sub:
        return difference(left, right, 0, size, flags);
    case Alu::sbb:
        return difference(left, right, carry, size, flags);
    case Alu::bit_or:
        return logic(left | right, size, flags);
    case Alu::bit_and:
        return logic(left & right, size, flags);
    case Alu::bit_xor:
        return logic(left ^ right, size, flags);
    default:
        (void)difference(left, right, 0, size, flags);
        return left;
    }
}

u64 alu_step(Alu operation, u64 left, unsigned size, u64& flags) {
    const u64 carry = flags & CARRY;
    const u64 result = alu(operation, left, 1, size, flags);
    flags = (flags & ~CARRY) | carry;
    return result;
}

u64 alu_negate(u64 value, unsigned size, u64& flags) {
    return alu(Alu::sub, 0, value, size, flags);
}

} // namespace parapet::nucleus
