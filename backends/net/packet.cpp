// SPDX-License-Identifier: Apache-2.0
#include "backends/net/packet.hpp"

#include <algorithm>
#include <cstring>
#include <netinet/in.h>

namespace parapet::net {

namespace {

constexpr std::uint16_t type_ipv4 = 0x0800, type_ipv6 = 0x86dd, type_vlan = 0x8100, type_vlan_service = 0x88a8;
constexpr std::size_t tcp_checksum_at = 16, udp_checksum_at = 6;

/// Reads fields in network order; whoever asks has checked the length by has().
class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_{bytes} {}
    [[nodiscard]] bool has(std::size_t offset, std::size_t length) const {
        return offset <= bytes_.size() && length <= bytes_.size() - offset;
    }
    [[nodiscard]] unsigned u8(std::size_t offset) const { return std::to_integer<unsigned>(bytes_[offset]); }
    [[nodiscard]] unsigned u16(std::size_t offset) const { return u8(offset) << 8 | u8(offset + 1); }

private:
    std::span<const std::byte> bytes_;
};

/// Finds the protocol in an IPv6 packet behind its extension headers. False: none of ours.
bool skip_extensions(const Reader& in, std::size_t& at, unsigned& protocol) {
    for (int headers = 0; headers < 8; ++headers) {
        if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
            return true;
        }
        if ((protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS) ||
            !in.has(at, 8)) {
            return false;
        }
        protocol = in.u8(at);
        at += (in.u8(at + 1) + 1) * 8;
    }
    return false;
}

} // namespace

std::optional<Transport> find_transport(std::span<const std::byte> headers) {
    const Reader in{headers};
    std::size_t at = ethernet_header;
    if (!in.has(0, at)) {
        return std::nullopt;
    }
    unsigned type = in.u16(12);
    for (int tags = 0; tags < 2 && (type == type_vlan || type == type_vlan_service); ++tags) {
        if (!in.has(at, 4)) {
            return std::nullopt;
        }
        type = in.u16(at + 2);
        at += 4;
    }
    Transport found;
    found.ip = static_cast<std::uint16_t>(at);
    unsigned protocol = 0;
    if (type == type_ipv4) {
        if (!in.has(at, 20) || in.u8(at) >> 4 != 4 || (in.u8(at) & 15) < 5 || (in.u16(at + 6) & 0x3fff) != 0) {
            return std::nullopt;
        }
        protocol = in.u8(at + 9);
        at += (in.u8(at) & 15) * 4;
    } else if (type == type_ipv6) {
        if (!in.has(at, 40) || in.u8(at) >> 4 != 6) {
            return std::nullopt;
        }
        found.ipv6 = true;
        protocol = in.u8(at + 6);
        at += 40;
        if (!skip_extensions(in, at, protocol)) {
            return std::nullopt;
        }
    }
    found.tcp = protocol == IPPROTO_TCP;
    if (!found.tcp && protocol != IPPROTO_UDP) {
        return std::nullopt;
    }
    if (!in.has(at, found.tcp ? 20 : 8)) {
        return std::nullopt;
    }
    const std::size_t length = found.tcp ? (in.u8(at + 12) >> 4) * 4 : 8;
    if (length < 8 || (found.tcp && length < 20) || !in.has(at, length)) {
        return std::nullopt;
    }
    found.start = static_cast<std::uint16_t>(at);
    found.end = static_cast<std::uint16_t>(at + length);
    return found;
}

std::uint16_t pseudo_header_sum(std::span<const std::byte> headers, const Transport& found, std::size_t length) {
    ChecksumSum sum;
    sum.add(found.ipv6 ? headers.subspan(found.ip + 8, 32) : headers.subspan(found.ip + 12, 8));
    const std::array<std::byte, 8> rest{std::byte(length >> 24),
                                        std::byte(length >> 16),
                                        std::byte(length >> 8),
                                        std::byte(length),
                                        std::byte{},
                                        std::byte{},
                                        std::byte{},
                                        std::byte(found.tcp ? IPPROTO_TCP : IPPROTO_UDP)};
    sum.add(rest);
    return sum.folded();
}

bool ask_checksum(std::span<const std::byte> headers, virtio_net_hdr& offload) {
    const auto found = find_transport(headers);
    if (!found) {
        return false;
    }
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload.csum_start = found->start;
    offload.csum_offset = found->tcp ? tcp_checksum_at : udp_checksum_at;
    return true;
}

bool ask_segments(std::span<std::byte> headers, std::size_t frame_bytes, bool ipv6, std::uint16_t size,
                  virtio_net_hdr& offload) {
    const auto found = find_transport(headers);
    if (!found || !found->tcp || found->ipv6 != ipv6 || size == 0) {
        return false;
    }
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload.csum_start = found->start;
    offload.csum_offset = tcp_checksum_at;
    offload.hdr_len = found->end;
    offload.gso_size = size;
    offload.gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    const std::uint16_t sum = pseudo_header_sum(headers, *found, frame_bytes - found->start);
    std::memcpy(&headers[found->start + tcp_checksum_at], &sum, sizeof(sum));
    return true;
}

bool plausible(const virtio_net_hdr& offload, std::size_t frame_bytes) {
    const bool segments = offload.gso_type != VIRTIO_NET_HDR_GSO_NONE;
    if (segments && ((offload.gso_type != VIRTIO_NET_HDR_GSO_TCPV4 && offload.gso_type != VIRTIO_NET_HDR_GSO_TCPV6) ||
                     offload.gso_size == 0 || (offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)) {
        return false;
    }
    return (offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 ||
           (offload.csum_start >= ethernet_header &&
            std::size_t{offload.csum_start} + offload.csum_offset + 2 <= frame_bytes);
}

void finish_checksum(OutFrame& frame) {
    if ((frame.offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
        const std::size_t start = frame.offload.csum_start;
        auto* headers = static_cast<std::byte*>(frame.parts[1].iov_base);
        ChecksumSum sum; // the field holds the pseudo-header's sum, and is summed with the rest
        sum.add({headers + start, frame.parts[1].iov_len - start});
        for (unsigned i = 2; i < frame.count; ++i) {
            sum.add({static_cast<const std::byte*>(frame.parts[i].iov_base), frame.parts[i].iov_len});
        }
        auto folded = static_cast<std::uint16_t>(~sum.folded());
        if (folded == 0 && frame.offload.csum_offset == udp_checksum_at) {
            folded = 0xffff; // zero says "none" in UDP
        }
        std::memcpy(headers + start + frame.offload.csum_offset, &folded, sizeof(folded));
    }
    frame.offload = {};
}

void ChecksumSum::add(std::span<const std::byte> bytes) {
    std::array<std::uint64_t, 4> lanes{};
    std::size_t i = 0;
    for (; i + 16 <= bytes.size(); i += 16) {
        std::array<std::uint32_t, 4> words;
        std::memcpy(words.data(), &bytes[i], 16);
        for (std::size_t lane = 0; lane < 4; ++lane) {
            lanes[lane] += words[lane];
        }
    }
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes) {
        sum += (lane & 0xffffffff) + (lane >> 32);
    }
    for (; i + 2 <= bytes.size(); i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, &bytes[i], 2);
        sum += word;
    }
    if (i < bytes.size()) {
        sum += std::to_integer<std::uint64_t>(bytes[i]); // little-endian: the low byte comes first
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum_ += odd_ ? (sum >> 8 | (sum & 0xff) << 8) : sum;
    odd_ = odd_ != (bytes.size() % 2 != 0);
}

std::uint16_t ChecksumSum::folded() const {
    std::uint64_t sum = sum_;
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(sum);
}

} // namespace parapet::net
