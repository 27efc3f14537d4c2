// SPDX-License-Identifier: Apache-2.0
// The VM's memory: one memfd, mapped once. Guest-physical addresses have a gap below 4 GiB for the interrupt
// controller.
#pragma once

#include "iorings/memory/guest_frames.hpp"
#include "support/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace parapet::vmm {

inline constexpr std::uint64_t page_size = 4096;

/// RAM is [0, low_end) and, if there is more, [high_start, end); machine frame numbers.
struct MachineLayout {
    static constexpr std::uint64_t max_low_frames = (3ULL << 30) / page_size;
    static constexpr std::uint64_t high_start = (4ULL << 30) / page_size;
    std::uint64_t frames = 0; ///< of RAM in all

    [[nodiscard]] std::uint64_t low_end() const { return frames < max_low_frames ? frames : max_low_frames; }
    [[nodiscard]] std::uint64_t end() const {
        return frames <= max_low_frames ? frames : high_start + (frames - max_low_frames);
    }
    /// The n-th frame of RAM.
    [[nodiscard]] std::uint64_t mfn_of(std::uint64_t n) const {
        return n < max_low_frames ? n : high_start + n - max_low_frames;
    }
    [[nodiscard]] bool is_ram(std::uint64_t mfn) const { return mfn < low_end() || (mfn >= high_start && mfn < end()); }
    /// Position of a frame's bytes in the memfd. Precondition: is_ram(mfn).
    [[nodiscard]] std::uint64_t offset_of(std::uint64_t mfn) const {
        return (mfn < max_low_frames ? mfn : max_low_frames + mfn - high_start) * page_size;
    }
};

/// Owns the memory and its mapping. It is a memfd where the host gives those huge pages (shmem_enabled), and private
/// memory where only that gets them: with 4 KiB pages every first touch of a frame is an exit from the VM.
class GuestRam {
public:
    static Result<GuestRam> create(const MachineLayout& layout);
    GuestRam(GuestRam&& other) noexcept;
    GuestRam& operator=(GuestRam&&) = delete;
    ~GuestRam();

    [[nodiscard]] const MachineLayout& layout() const { return layout_; }
    /// The frame's bytes, or nullptr if there is no such frame.
    [[nodiscard]] std::byte* frame(std::uint64_t mfn) const;
    template <typename T>
    [[nodiscard]] T* frame_as(std::uint64_t mfn) const {
        return reinterpret_cast<T*>(frame(mfn));
    }
    [[nodiscard]] std::byte* base() const { return base_; }
    /// The same for backends.
    [[nodiscard]] GuestFrames frames() const {
        return {base_, layout_.low_end(), MachineLayout::high_start, layout_.end()};
    }
    [[nodiscard]] std::uint64_t bytes() const { return layout_.frames * page_size; }

    /// Is the guest's memory counted among this process's anonymous memory?
    [[nodiscard]] bool anonymous() const { return fd_ < 0; }
    /// The first `count` frames of RAM are touched here and there: no huge pages for them.
    void keep_small(std::uint64_t count) const;

    /// Give a frame's memory back to the host; it reads as zeroes afterwards. False: no such frame, or the host
    /// refused.
    bool release(std::uint64_t mfn);
    /// Bytes of the range [first, first + count) frames of RAM that the host holds in memory.
    [[nodiscard]] std::uint64_t resident(std::uint64_t first, std::uint64_t count) const;

private:
    GuestRam(const MachineLayout& layout, int fd, std::byte* base) : layout_{layout}, fd_{fd}, base_{base} {}

    MachineLayout layout_;
    int fd_;
    std::byte* base_;
};

} // namespace parapet::vmm
