// SPDX-License-Identifier: Apache-2.0
// Frames that nobody owns now: a list through the frame table, and what the host has been told of it.
//
//   domain --put_free_frame--> free, held --release_held_frames: Request::release--> free
//   free --hold_free_frames, or take: Request::reclaim--> free, held --take_free_frames--> domain
//
// Held frames stand at the head of the list. A free frame's m2p entry is INVALID_M2P.
#pragma once

#include "hypercall-emu/core/domain.hpp"

namespace parapet::nucleus {

inline constexpr u64 INVALID_M2P = ~0ULL;

/// A frame that never belonged to the domain becomes free (at start); the host does not back it yet.
void add_free_frame(Domain& domain, Mfn mfn);

/// The domain gives `mfn` up; the host keeps backing it until release_held_frames(). False: is_disposable() says no, or
/// the host writes to it. Does not touch nr_pages, nor the m2p entry.
[[nodiscard]] bool put_free_frame(Domain& domain, Mfn mfn);
/// Does the domain own the frame, and nothing of the guest's refer to it?
[[nodiscard]] bool is_disposable(const Domain& domain, Mfn mfn);

/// The domain owns so many frames from now on.
inline void owns(Domain& domain, u64 nr_pages) {
    domain.nr_pages = nr_pages;
    domain.machine->mailbox->counters.frames_owned = nr_pages; // for who controls the domain
}

/// Give the memory of all held frames back to the host.
void release_held_frames(Domain& domain);
/// Have the host back up to `count` frames at the head of the list, in one request, so that taking them is quick.
void hold_free_frames(Domain& domain, u64 count);

/// Take 2^order frames, contiguous and aligned, all below `limit`. They belong to the domain then, without counts;
/// nr_pages and m2p are the caller's. NO_MFN: there are none, or the host refuses.
[[nodiscard]] Mfn take_free_frames(Domain& domain, unsigned order, u64 limit);

} // namespace parapet::nucleus
