// SPDX-License-Identifier: Apache-2.0
// What goes over a control socket: frames of bounded size, in both directions (docs/control.md).
//
//   byte 0..3   length of the payload, little-endian, at most most_payload
//   byte 4      kind: 'J' one JSON object, 'C' bytes of the console
//   byte 5      how many descriptors come with it (SCM_RIGHTS, sent with the frame's first byte)
//   byte 6, 7   zero
//   then        the payload
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::vmm::control {

inline constexpr std::size_t frame_header = 8;
inline constexpr std::size_t most_payload = 64 * 1024;
inline constexpr std::size_t most_descriptors = 64;

enum class FrameKind : char { message = 'J', console = 'C' };

struct Frame {
    FrameKind kind = FrameKind::message;
    std::string payload;
    std::vector<UniqueFd> descriptors;
};

/// Header and payload. Precondition: payload and descriptors are within the bounds.
[[nodiscard]] std::string encode_frame(FrameKind kind, std::string_view payload, std::size_t descriptors = 0);

/// Puts frames together from what a peer sends, which may be anything.
class FrameReader {
public:
    /// An Error: the peer does not keep to the protocol; nothing more can be read of it.
    Result<void> feed(std::string_view bytes, std::vector<UniqueFd> descriptors);
    /// The next complete frame.
    [[nodiscard]] std::optional<Frame> next();
    /// Whether a frame has begun that is not complete.
    [[nodiscard]] bool in_the_middle() const { return !bytes_.empty(); }

private:
    Result<std::size_t> take_one(std::string_view bytes);

    std::string bytes_; ///< of the frame that is not complete
    std::deque<UniqueFd> descriptors_;
    std::deque<Frame> frames_;
};

} // namespace parapet::vmm::control
