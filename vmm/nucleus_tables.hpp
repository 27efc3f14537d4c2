// SPDX-License-Identifier: Apache-2.0
// Page tables of the hypervisor hole, written by the vmm before the VM runs.
#pragma once

#include "vmm/guest_ram.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace parapet::vmm {

/// Hands out frames of RAM: the nucleus's first, at random places of [first, first + scattered), what does not fit
/// there in order behind it; then the domain's.
class FrameAllocator {
public:
    explicit FrameAllocator(std::uint64_t first, std::uint64_t scattered = 0, std::uint64_t seed = 0)
        : first_{first}, next_{first + scattered}, taken_(scattered), random_{seed} {}
    /// `count` frames that follow one another.
    std::uint64_t take(std::uint64_t count = 1);
    /// The first frame behind all that was taken.
    [[nodiscard]] std::uint64_t next() const { return next_; }

private:
    std::uint64_t first_, next_;
    std::vector<bool> taken_;
    std::mt19937_64 random_;
};

namespace pte {
inline constexpr std::uint64_t present = 1, writable = 2, user = 4, accessed = 0x20, dirty = 0x40, large = 0x80,
                               no_execute = 1ULL << 63;
inline constexpr std::uint64_t table = present | writable | user | accessed;
inline constexpr std::uint64_t data = present | writable | user | accessed | dirty | no_execute;
inline constexpr std::uint64_t rodata = present | user | accessed | dirty | no_execute;
inline constexpr std::uint64_t text = present | user | accessed | dirty;
} // namespace pte

/// Builds a four-level tree in guest memory. Privilege is decided by the L4 entry alone: below it everything has the
/// user bit, so that the same tables serve a root where the hole is supervisor-only and the core's own root.
class TableBuilder {
public:
    TableBuilder(const GuestRam& ram, FrameAllocator& allocator);

    [[nodiscard]] std::uint64_t root() const { return root_; }
    /// Map `count` 4 KiB pages.
    void map(std::uint64_t va, std::uint64_t mfn, std::uint64_t count, std::uint64_t flags);
    /// Map 2 MiB pages; va and mfn aligned to them.
    void map_large(std::uint64_t va, std::uint64_t mfn, std::uint64_t count, std::uint64_t flags);
    /// Use frame `mfn` as the L1 table for the 2 MiB at va.
    void set_l1(std::uint64_t va, std::uint64_t mfn);
    /// Map [first, end) where it would lie in a window on all memory at `va`: by 2 MiB pages as far as these are whole.
    void map_window(std::uint64_t va, std::uint64_t first, std::uint64_t end, std::uint64_t flags);
    /// The frames of the tables below an L4 slot.
    [[nodiscard]] std::vector<std::uint64_t> table_frames(std::uint64_t slot) const;
    /// L4 entry of a slot, for other roots.
    [[nodiscard]] std::uint64_t slot(std::uint64_t index) const;
    void set_slot_flags(std::uint64_t index, std::uint64_t clear, std::uint64_t set);

private:
    std::uint64_t* table_for(std::uint64_t va, unsigned level);

    const GuestRam& ram_;
    FrameAllocator& allocator_;
    std::uint64_t root_;
};

} // namespace parapet::vmm
