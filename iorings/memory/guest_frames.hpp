// SPDX-License-Identifier: Apache-2.0
// The VM's memory as host code sees it: machine frame numbers (MFN) to bytes of this process. A view; the vmm's
// GuestRam owns the memory and outlives it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace parapet {

class GuestFrames {
public:
    static constexpr std::uint64_t frame_size = 4096;

    GuestFrames() = default;
    /// RAM is the frames [0, low_end) and [high_start, end); both lie in one mapping from `base` on, without a gap.
    GuestFrames(std::byte* base, std::uint64_t low_end, std::uint64_t high_start, std::uint64_t end)
        : base_{base}, low_end_{low_end}, high_start_{high_start}, end_{end} {}

    /// The frame's 4096 bytes, or nullptr if there is no such frame.
    [[nodiscard]] std::byte* frame(std::uint64_t mfn) const {
        if (mfn < low_end_) {
            return base_ + mfn * frame_size;
        }
        if (mfn >= high_start_ && mfn < end_) {
            return base_ + (low_end_ + (mfn - high_start_)) * frame_size;
        }
        return nullptr;
    }
    [[nodiscard]] std::byte* base() const { return base_; }
    /// Size of the mapping, in bytes.
    [[nodiscard]] std::uint64_t bytes() const {
        return (low_end_ + (end_ > high_start_ ? end_ - high_start_ : 0)) * frame_size;
    }

private:
    std::byte* base_ = nullptr;
    std::uint64_t low_end_ = 0, high_start_ = 0, end_ = 0;
};

} // namespace parapet
