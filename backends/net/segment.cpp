// SPDX-License-Identifier: Apache-2.0
#include "backends/net/segment.hpp"

#include "backends/net/packet.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::net {

namespace {

constexpr std::size_t tcp_sequence_at = 4, tcp_flags_at = 13, tcp_checksum_at = 16;
constexpr std::byte tcp_fin{0x01}, tcp_psh{0x08}, tcp_cwr{0x80};

void put16(std::byte* to, std::size_t value) {
    to[0] = std::byte(value >> 8);
    to[1] = std::byte(value);
}
std::uint32_t get32(const std::byte* from) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
        value = value << 8 | std::to_integer<std::uint32_t>(from[i]);
    }
    return value;
}
void put32(std::byte* to, std::uint32_t value) {
    put16(to, value >> 16);
    put16(to + 2, value & 0xffff);
}

std::vector<std::byte> whole(const OutFrame& frame) {
    std::vector<std::byte> all;
    all.reserve(frame.bytes);
    for (unsigned i = 1; i < frame.count; ++i) {
        const auto* bytes = static_cast<const std::byte*>(frame.parts[i].iov_base);
        all.insert(all.end(), bytes, bytes + frame.parts[i].iov_len);
    }
    return all;
}

/// Makes the IP header's length, identification and checksum right for a frame of that length.
void mend_ip(std::byte* frame, const Transport& at, std::size_t length, std::size_t number) {
    std::byte* ip = frame + at.ip;
    if (at.ipv6) {
        put16(ip + 4, length - at.ip - 40);
        return;
    }
    put16(ip + 2, length - at.ip);
    put16(ip + 4, (std::to_integer<std::size_t>(ip[4]) << 8 | std::to_integer<std::size_t>(ip[5])) + number);
    put16(ip + 10, 0);
    ChecksumSum sum;
    sum.add({ip, static_cast<std::size_t>(at.start - at.ip)});
    const auto folded = static_cast<std::uint16_t>(~sum.folded());
    std::memcpy(ip + 10, &folded, sizeof(folded));
}

void mend_tcp(std::vector<std::byte>& frame, const Transport& at, std::size_t offset, bool first, bool last) {
    std::byte* tcp = &frame[at.start];
    put32(tcp + tcp_sequence_at, get32(tcp + tcp_sequence_at) + static_cast<std::uint32_t>(offset));
    tcp[tcp_flags_at] &= ~((last ? std::byte{} : tcp_fin | tcp_psh) | (first ? std::byte{} : tcp_cwr));
    const std::uint16_t sum = pseudo_header_sum(frame, at, frame.size() - at.start);
    std::memcpy(tcp + tcp_checksum_at, &sum, sizeof(sum));
    ChecksumSum all;
    all.add({tcp, frame.size() - at.start});
    const auto folded = static_cast<std::uint16_t>(~all.folded());
    std::memcpy(tcp + tcp_checksum_at, &folded, sizeof(folded));
}

} // namespace

OwnedFrame::OwnedFrame(std::vector<std::byte> content) : content_{std::move(content)} {
    parts[1] = {content_.data(), content_.size()};
    count = 2;
    bytes = static_cast<std::uint32_t>(content_.size());
}

std::vector<OwnedFrame*> cut_segments(OutFrame& frame) {
    const auto content = whole(frame); // read once: the guest may change it meanwhile
    const auto at = find_transport(std::span{content}.first(std::min(content.size(), most_header_bytes)));
    if (!at || !at->tcp || frame.offload.gso_size < least_segment) {
        return {};
    }
    const std::size_t size = frame.offload.gso_size, payload = content.size() - at->end;
    std::vector<OwnedFrame*> frames;
    for (std::size_t offset = 0, number = 0; offset < payload || number == 0; offset += size, ++number) {
        const std::size_t part = std::min(size, payload - offset);
        std::vector<std::byte> segment(content.begin(), content.begin() + at->end);
        const auto from = content.begin() + static_cast<std::ptrdiff_t>(at->end + offset);
        segment.insert(segment.end(), from, from + static_cast<std::ptrdiff_t>(part));
        mend_ip(segment.data(), *at, segment.size(), number);
        mend_tcp(segment, *at, offset, number == 0, offset + part == payload);
        frames.push_back(new OwnedFrame{std::move(segment)});
    }
    frames.back()->whole = &frame; // which bounds what a guest can have waiting
    return frames;
}

} // namespace parapet::net
