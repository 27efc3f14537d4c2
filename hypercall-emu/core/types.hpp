// SPDX-License-Identifier: Apache-2.0
// Strong number types and small helpers of the nucleus core. Freestanding: no library, no heap, general registers only.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pv-abi/errno.hpp"
#include "pv-abi/types.hpp"

namespace parapet::nucleus {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

inline constexpr u64 PAGE_SHIFT = 12;
inline constexpr u64 PAGE_SIZE = 1ULL << PAGE_SHIFT;

/// Machine frame number: a guest-physical frame of the KVM VM.
struct Mfn {
    u64 number = ~0ULL;
    constexpr bool operator==(const Mfn&) const = default;
    [[nodiscard]] constexpr u64 address() const { return number << PAGE_SHIFT; }
};
inline constexpr Mfn NO_MFN{};

/// Event-channel port of the guest.
struct Port {
    u32 number = 0;
    constexpr bool operator==(const Port&) const = default;
};

/// Address in the guest's own virtual address space. Never dereferenced: see guest_memory.hpp.
struct GuestVa {
    u64 address = 0;
    constexpr bool operator==(const GuestVa&) const = default;
    [[nodiscard]] constexpr GuestVa operator+(u64 bytes) const { return {address + bytes}; }
};

/// 0 or a negative XEN_E* number, or a positive result where the ABI gives one: what a hypercall returns in rax.
using Status = long;

template <typename T>
constexpr T min_of(T left, T right) {
    return left < right ? left : right;
}

/// Bit-exact copies without a library.
void copy_bytes(void* destination, const void* source, size_t bytes);
void fill_bytes(void* destination, u8 value, size_t bytes);

} // namespace parapet::nucleus
