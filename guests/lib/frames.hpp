// SPDX-License-Identifier: Apache-2.0
// Ethernet frames with IP, UDP and TCP in them: made and checked.
#pragma once

#include "guests/lib/net.hpp"

namespace parapet::guest {

inline constexpr unsigned ethernet_bytes = 14, ipv4_bytes = 20, ipv6_bytes = 40, udp_bytes = 8, tcp_bytes = 20;

struct FrameKind {
    bool ipv6 = false;
    bool tcp = false;
    bool blank = false;   ///< the checksum is left to others: only the pseudo header's stands there
    uint16_t segment = 0; ///< TCP: payload of each segment that others are to make; 0: the frame is one
};

/// Fills `frame` with `payload` bytes that belong to `seed`. Its size and flags are set.
void make_frame(TxFrame& frame, const uint8_t* to, const uint8_t* from, const FrameKind& kind, unsigned payload,
                unsigned seed);

/// Null, or what is wrong with a frame that was received: addresses, lengths, payload, checksum (a full one, unless
/// `blank`).
const char* check_frame(const unsigned char* bytes, size_t size, const TxFrame& sent, bool blank);

/// Is this a frame of ours (make_frame), and not a neighbour's chatter?
bool is_ours(const unsigned char* bytes, size_t size);

} // namespace parapet::guest
