// SPDX-License-Identifier: Apache-2.0
// Cutting a large TCP segment into frames of the link's size, for a receiver that takes no large ones.
#pragma once

#include "backends/net/frame.hpp"

#include <memory>
#include <vector>

namespace parapet::net {

/// A frame with memory of its own, which ends when it has been sent.
class OwnedFrame final : public OutFrame {
public:
    explicit OwnedFrame(std::vector<std::byte> content);
    void sent(int result) override {
        if (whole != nullptr) {
            whole->sent(result);
        }
        delete this;
    }
    OutFrame* whole = nullptr; ///< the frame that is sent with this, its last segment

private:
    ~OwnedFrame() = default;
    std::vector<std::byte> content_;
};

/// No TCP makes smaller segments (Linux: TCP_MIN_SND_MSS); a guest that asks for some wants to keep the host busy.
inline constexpr std::uint16_t least_segment = 48;

/// Frames of gso_size bytes of payload each, their checksums finished. Precondition: ask_segments() made the offload.
/// Who gets them sees to it that sent() is called on each, which calls it on `frame` at last. None: there is no TCP, or
/// its segments are too small.
std::vector<OwnedFrame*> cut_segments(OutFrame& frame);

} // namespace parapet::net
