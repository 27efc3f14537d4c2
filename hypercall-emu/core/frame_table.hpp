// SPDX-License-Identifier: Apache-2.0
// The frame table: one word per machine frame with its owner, type and counts (docs/architecture.md: invariants 1-4).
//
//   63     62..60   59..34        33..29   28..26  25..0
//   .      owner    references    flags    type    type count
//
// A frame has one type while its type count is not zero. Every mapping by a validated L1 entry holds a reference, and
// a type reference of `writable` when it may write; every table entry of a higher level holds a reference and a type
// reference of the level below. A pin holds one of each.
#pragma once

#include "hypercall-emu/core/types.hpp"

namespace parapet::nucleus {

/// `none` is what a frame is before its first type; writable and page-table types exclude one another.
enum class FrameType : u8 { none = 0, writable = 1, l1 = 2, l2 = 3, l3 = 4, l4 = 5, descriptor = 6 };

enum class FrameOwner : u8 {
    nobody = 0, ///< not RAM, or the nucleus's own: never mappable
    domain = 1, ///< the guest's reservation
    free = 2,   ///< given back by the balloon; may be populated again
    shared = 3, ///< of the nucleus, mappable by the guest for reading and writing (shared_info)
};

struct Frame {
    u64 word = 0;

    static constexpr u64 COUNT_MASK = (1ULL << 26) - 1;
    static constexpr unsigned TYPE_SHIFT = 26, REFERENCE_SHIFT = 34, OWNER_SHIFT = 60;
    static constexpr u64 TYPE_MASK = 7ULL << TYPE_SHIFT;
    static constexpr u64 VALIDATED = 1ULL << 29; ///< the table's entries hold their references
    static constexpr u64 PINNED = 1ULL << 30;
    static constexpr u64 LOCKED = 1ULL << 31; ///< being validated or devalidated: no recursion into it
    static constexpr u64 REFERENCE = 1ULL << REFERENCE_SHIFT;
    static constexpr u64 REFERENCE_MASK = COUNT_MASK << REFERENCE_SHIFT;
    static constexpr u64 OWNER_MASK = 7ULL << OWNER_SHIFT;

    // A frame of owner `free` has no counts and no type. Bits 31..0 hold the MFN of the next free frame
    // (free_frames.hpp).
    static constexpr u64 FREE_LINK_MASK = (1ULL << 32) - 1;
    static constexpr u64 FREE_END = FREE_LINK_MASK; ///< the last of the list
    static constexpr u64 FREE_HELD = 1ULL << 33;    ///< the host has not been given its memory (yet)

    [[nodiscard]] constexpr FrameType type() const { return static_cast<FrameType>((word & TYPE_MASK) >> TYPE_SHIFT); }
    [[nodiscard]] constexpr FrameOwner owner() const {
        return static_cast<FrameOwner>((word & OWNER_MASK) >> OWNER_SHIFT);
    }
    [[nodiscard]] constexpr u64 type_count() const { return word & COUNT_MASK; }
    [[nodiscard]] constexpr u64 references() const { return (word & REFERENCE_MASK) >> REFERENCE_SHIFT; }
    [[nodiscard]] constexpr bool is(u64 flag) const { return (word & flag) != 0; }
    constexpr void set_type(FrameType type) { word = (word & ~TYPE_MASK) | (static_cast<u64>(type) << TYPE_SHIFT); }
    constexpr void set_owner(FrameOwner owner) {
        word = (word & ~OWNER_MASK) | (static_cast<u64>(owner) << OWNER_SHIFT);
    }
};
static_assert(sizeof(Frame) == 8);

/// All frames of the VM. Holds a view, not the memory.
class FrameTable {
public:
    FrameTable() = default;
    FrameTable(Frame* frames, u64 count) : frames_{frames}, count_{count} {}

    [[nodiscard]] bool contains(Mfn mfn) const { return mfn.number < count_; }
    [[nodiscard]] u64 count() const { return count_; }
    /// Precondition: contains(mfn).
    [[nodiscard]] Frame& operator[](Mfn mfn) { return frames_[mfn.number]; }
    [[nodiscard]] const Frame& operator[](Mfn mfn) const { return frames_[mfn.number]; }

    /// Is `mfn` a frame that the guest may name (its own, or shared with it)?
    [[nodiscard]] bool guest_may_map(Mfn mfn) const {
        return contains(mfn) &&
               (frames_[mfn.number].owner() == FrameOwner::domain || frames_[mfn.number].owner() == FrameOwner::shared);
    }
    [[nodiscard]] bool domain_owns(Mfn mfn) const {
        return contains(mfn) && frames_[mfn.number].owner() == FrameOwner::domain;
    }

private:
    Frame* frames_ = nullptr;
    u64 count_ = 0;
};

} // namespace parapet::nucleus
