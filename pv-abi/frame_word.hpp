// SPDX-License-Identifier: Apache-2.0
// One word of the frame table (FRAME_TABLE_VA): owner, type and counts of a machine frame. The nucleus writes it, each
// time by one aligned 64-bit store; the vmm reads it (HostUse in doorbell.hpp), by atomic loads.
//
//   63     62..60   59..34        33..29   28..26  25..0
//   .      owner    references    flags    type    type count
//
// A frame has one type while its type count is not zero. Every mapping by a validated L1 entry holds a reference, and
// a type reference of `writable` when it may write; every table entry of a higher level holds a reference and a type
// reference of the level below. A pin holds one of each.
#pragma once

#include <stdint.h>

namespace parapet::doorbell {

/// `none` is what a frame is before its first type; writable and page-table types exclude one another.
enum class FrameType : uint8_t { none = 0, writable = 1, l1 = 2, l2 = 3, l3 = 4, l4 = 5, descriptor = 6 };

enum class FrameOwner : uint8_t {
    nobody = 0, ///< not RAM, or the nucleus's own: never mappable
    domain = 1, ///< the guest's reservation
    free = 2,   ///< given back by the balloon; may be populated again
    shared = 3, ///< of the nucleus, mappable by the guest for reading and writing (shared_info)
};

struct FrameWord {
    uint64_t word = 0;

    static constexpr uint64_t COUNT_MASK = (1ULL << 26) - 1;
    static constexpr unsigned TYPE_SHIFT = 26, REFERENCE_SHIFT = 34, OWNER_SHIFT = 60;
    static constexpr uint64_t TYPE_MASK = 7ULL << TYPE_SHIFT;
    static constexpr uint64_t VALIDATED = 1ULL << 29; ///< the table's entries hold their references
    static constexpr uint64_t PINNED = 1ULL << 30;
    static constexpr uint64_t LOCKED = 1ULL << 31; ///< being validated or devalidated: no recursion into it
    static constexpr uint64_t REFERENCE = 1ULL << REFERENCE_SHIFT;
    static constexpr uint64_t REFERENCE_MASK = COUNT_MASK << REFERENCE_SHIFT;
    static constexpr uint64_t OWNER_MASK = 7ULL << OWNER_SHIFT;

    // A frame of owner `free` has no counts and no type. Bits 31..0 hold the MFN of the next free frame
    // (hypercall-emu/core/free_frames.hpp).
    static constexpr uint64_t FREE_LINK_MASK = (1ULL << 32) - 1;
    static constexpr uint64_t FREE_END = FREE_LINK_MASK; ///< the last of the list
    static constexpr uint64_t FREE_HELD = 1ULL << 33;    ///< the host has not been given its memory (yet)

    [[nodiscard]] constexpr FrameType type() const { return static_cast<FrameType>((word & TYPE_MASK) >> TYPE_SHIFT); }
    [[nodiscard]] constexpr FrameOwner owner() const {
        return static_cast<FrameOwner>((word & OWNER_MASK) >> OWNER_SHIFT);
    }
    [[nodiscard]] constexpr uint64_t type_count() const { return word & COUNT_MASK; }
    [[nodiscard]] constexpr uint64_t references() const { return (word & REFERENCE_MASK) >> REFERENCE_SHIFT; }
    [[nodiscard]] constexpr bool is(uint64_t flag) const { return (word & flag) != 0; }
    constexpr void set_type(FrameType type) {
        word = (word & ~TYPE_MASK) | (static_cast<uint64_t>(type) << TYPE_SHIFT);
    }
    constexpr void set_owner(FrameOwner owner) {
        word = (word & ~OWNER_MASK) | (static_cast<uint64_t>(owner) << OWNER_SHIFT);
    }

    /// A frame of the domain that may be written past its own page tables: neither a table nor a descriptor page.
    [[nodiscard]] constexpr bool host_may_write() const {
        return owner() == FrameOwner::domain && (type() == FrameType::none || type() == FrameType::writable);
    }
};
static_assert(sizeof(FrameWord) == 8);

} // namespace parapet::doorbell
