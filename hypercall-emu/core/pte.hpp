// SPDX-License-Identifier: Apache-2.0
// Page-table entries of x86-64 (four levels), as a typed view. Bit meanings: AMD64 APM vol. 2, 5.3.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

struct Pte {
    u64 raw = 0;

    static constexpr u64 PRESENT = 1ULL << 0, RW = 1ULL << 1, USER = 1ULL << 2, PWT = 1ULL << 3, PCD = 1ULL << 4,
                         ACCESSED = 1ULL << 5, DIRTY = 1ULL << 6, PSE = 1ULL << 7, PAT = 1ULL << 7, GLOBAL = 1ULL << 8,
                         AVAIL = 7ULL << 9, NX = 1ULL << 63;
    static constexpr u64 FRAME_MASK = 0x000ffffffffff000ULL;
    // Bits 52-62 are the guest's: the walker ignores them while CR4.PKE is off, which the nucleus never sets.

    [[nodiscard]] constexpr bool present() const { return (raw & PRESENT) != 0; }
    [[nodiscard]] constexpr bool writable() const { return (raw & RW) != 0; }
    [[nodiscard]] constexpr Mfn mfn() const { return {(raw & FRAME_MASK) >> PAGE_SHIFT}; }
    constexpr bool operator==(const Pte&) const = default;

    static constexpr Pte make(Mfn frame, u64 flags) { return {frame.address() | flags}; }
};

inline constexpr unsigned ENTRIES_PER_TABLE = 512;

/// Index into the table of `level` (1..4) for an address.
constexpr unsigned table_index(u64 va, unsigned level) {
    return static_cast<unsigned>(va >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRIES_PER_TABLE - 1);
}

constexpr bool is_canonical(u64 va) {
    return static_cast<u64>(static_cast<int64_t>(va << 16) >> 16) == va;
}

inline constexpr u64 HOLE_START = 0xffff800000000000ULL;
inline constexpr u64 HOLE_END = 0xffff880000000000ULL;

/// May the guest name this address at all: canonical and outside the hypervisor hole.
constexpr bool is_guest_va(u64 va) {
    return is_canonical(va) && (va < HOLE_START || va >= HOLE_END);
}

} // namespace parapet::nucleus
