// SPDX-License-Identifier: Apache-2.0
// The frame table: one word per machine frame with its owner, type and counts (pv-abi/frame_word.hpp;
// docs/architecture.md: invariants 1-4).
#pragma once

#include "hypercall-emu/core/types.hpp"
#include "pv-abi/frame_word.hpp"

namespace parapet::nucleus {

using doorbell::FrameOwner;
using doorbell::FrameType;
using Frame = doorbell::FrameWord;

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
