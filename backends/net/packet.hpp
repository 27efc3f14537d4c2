// SPDX-License-Identifier: Apache-2.0
// Headers of Ethernet, IPv4, IPv6, TCP and UDP, as far as offloads need them. Frames are hostile: nothing is believed
// without a look at the length.
#pragma once

#include "backends/net/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace parapet::net {

/// Enough for Ethernet, a VLAN tag, IPv6 with extension headers or IPv4 with options, and TCP with options.
inline constexpr std::size_t most_header_bytes = 256;

/// Where a TCP or UDP packet's headers lie.
struct Transport {
    bool ipv6 = false;
    bool tcp = false;        ///< else UDP
    std::uint16_t ip = 0;    ///< offset of the IP header
    std::uint16_t start = 0; ///< offset of the TCP or UDP header
    std::uint16_t end = 0;   ///< offset of what follows it
};

/// `headers`: the frame's first bytes. Nothing: no TCP or UDP, a fragment, or headers that do not fit.
[[nodiscard]] std::optional<Transport> find_transport(std::span<const std::byte> headers);

/// The folded sum of the pseudo-header for `length` bytes from the TCP or UDP header on.
[[nodiscard]] std::uint16_t pseudo_header_sum(std::span<const std::byte> headers, const Transport& found,
                                              std::size_t length);

/// Asks for the checksum. False: there is nothing to sum.
[[nodiscard]] bool ask_checksum(std::span<const std::byte> headers, virtio_net_hdr& offload);
/// Asks for segments of `size` bytes of payload, and their checksums; writes the pseudo-header's sum into `headers`, as
/// it must be whatever the guest put there. False: not TCP of that IP version.
[[nodiscard]] bool ask_segments(std::span<std::byte> headers, std::size_t frame_bytes, bool ipv6, std::uint16_t size,
                                virtio_net_hdr& offload);

/// An offload asked for by another domain: does it make sense for a frame of that length?
[[nodiscard]] bool plausible(const virtio_net_hdr& offload, std::size_t frame_bytes);

/// Computes what the offload leaves blank, in parts[1], and clears the request. Segment offload is cleared too: the
/// frame stays as large as it is, for receivers without a link's limit.
void finish_checksum(OutFrame& frame);

/// The Internet checksum's sum over pieces of any length.
class ChecksumSum {
public:
    void add(std::span<const std::byte> bytes);
    /// Folded, not complemented; in the order of the bytes in memory.
    [[nodiscard]] std::uint16_t folded() const;

private:
    std::uint64_t sum_ = 0;
    bool odd_ = false; ///< an odd number of bytes so far
};

} // namespace parapet::net
