// SPDX-License-Identifier: Apache-2.0
// What a guest writes as the owner of its nucleus: into all that the vmm reads, at any time, with doorbells and
// requests between. Runs at ring 0, through the back door.
#pragma once

#include <cstddef>
#include <cstdint>

#include "guests/lib/random.hpp"

namespace parapet::guest {

/// Memory that the vmm reads too, by an address that the guest kernel or the nucleus has for it.
struct Region {
    uint64_t start, bytes; ///< bytes: 2, or a multiple of 8
};

/// What one visit does, and what it may use. The guest kernel fills it.
struct Visit {
    Random random{1};
    Region regions[32];
    unsigned region_count = 0;
    /// Numbers that mean something to the vmm: frames, ports, grant references, lengths.
    uint64_t favourites[64];
    unsigned favourite_count = 0;
    /// Frames that may lose their memory.
    uint64_t spare_mfns[16];
    unsigned spare_count = 0;
    /// False: what was written is taken back where the vmm has not changed it since.
    bool for_good = false;
    /// Requests may end the domain.
    bool may_end = false;
    uint64_t writes = 0, requests = 0, doorbells = 0; ///< how many there were

    void add(uint64_t start, uint64_t bytes) { regions[region_count++] = {start, bytes}; }
    void add(const volatile void* start, uint64_t bytes) { add(reinterpret_cast<uint64_t>(start), bytes); }
    void favour(uint64_t number) { favourites[favourite_count++] = number; }
};

/// Goes to ring 0 and there does as `visit` says.
void scribble(Visit& visit);

/// The regions of the nucleus itself: signals and requests; frame words and uses by the host of `visit`'s spare frames.
void add_nucleus_regions(Visit& visit);

/// Where the grant table lies, which the vmm looks at once: nonsense there cannot be taken back.
void add_grant_information(Visit& visit);

} // namespace parapet::guest
