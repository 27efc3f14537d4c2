// SPDX-License-Identifier: Apache-2.0
#include "backends/net/packet.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <gtest/gtest.h>

namespace parapet::net::test {
namespace {

struct Frame final : OutFrame {
    void sent(int) override {}
};

TEST(ChecksumSum, MatchesRfc1071sExample) {
    const std::array<std::byte, 8> bytes{std::byte{0x00}, std::byte{0x01}, std::byte{0xf2}, std::byte{0x03},
                                         std::byte{0xf4}, std::byte{0xf5}, std::byte{0xf6}, std::byte{0xf7}};
    ChecksumSum sum;
    sum.add(bytes);
    EXPECT_EQ(sum.folded(), 0xf2dd); // ddf2 in network order
}

TEST(ChecksumSum, DoesNotDependOnThePieces) {
    const Bytes bytes = plain_frame(5001);
    ChecksumSum whole;
    whole.add(bytes);
    for (const std::size_t piece : {1, 2, 3, 7, 15, 16, 17, 64, 1001, 4096}) {
        ChecksumSum sum;
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            sum.add(std::span{bytes}.subspan(at, std::min(piece, bytes.size() - at)));
        }
        EXPECT_EQ(sum.folded(), whole.folded()) << piece;
    }
}

TEST(Transport, IsFoundBehindTagsOptionsAndExtensions) {
    Bytes tagged = blank_frame(false, true, 100);
    const Bytes tag{std::byte{0x81}, std::byte{0}, std::byte{0}, std::byte{5}};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    auto found = find_transport(tagged);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->ip, 18);
    EXPECT_EQ(found->start, 38);

    Bytes options = blank_frame(false, false, 100);
    options[14] = std::byte{0x46};
    options.insert(options.begin() + 34, 4, std::byte{1});
    found = find_transport(options);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->start, 38);

    Bytes extended = blank_frame(true, true, 100);
    extended[20] = std::byte{IPPROTO_HOPOPTS};
    Bytes extension(16);
    extension[0] = std::byte{IPPROTO_TCP};
    extension[1] = std::byte{1};
    extended.insert(extended.begin() + 54, extension.begin(), extension.end());
    found = find_transport(extended);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->ipv6);
    EXPECT_EQ(found->start, 70);
    EXPECT_EQ(found->end, 90);
}

TEST(Transport, IsNotFoundWhereThereIsNone) {
    EXPECT_FALSE(find_transport(plain_frame(100)));
    Bytes fragment = blank_frame(false, true, 100);
    fragment[20] = std::byte{0x20}; // more fragments
    EXPECT_FALSE(find_transport(fragment));
    Bytes icmp = blank_frame(false, true, 100);
    icmp[23] = std::byte{1};
    EXPECT_FALSE(find_transport(icmp));
    Bytes chain = blank_frame(true, true, 200);
    for (std::size_t at = 54; at + 8 < chain.size(); at += 8) { // extension headers without end
        chain[at] = std::byte{IPPROTO_DSTOPTS};
        chain[at + 1] = std::byte{0};
    }
    chain[20] = std::byte{IPPROTO_DSTOPTS};
    EXPECT_FALSE(find_transport(chain));
    Bytes header = blank_frame(false, true, 100);
    header[46] = std::byte{0x40}; // TCP of 16 bytes
    EXPECT_FALSE(find_transport(header));
}

TEST(Transport, BelievesNoLength) {
    for (const bool ipv6 : {false, true}) {
        for (const bool tcp : {false, true}) {
            const Bytes frame = blank_frame(ipv6, tcp, 0);
            for (std::size_t size = 0; size < frame.size(); ++size) {
                const Bytes part{frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size)};
                EXPECT_FALSE(find_transport(part)) << size;
            }
            EXPECT_TRUE(find_transport(frame));
        }
    }
}

TEST(FinishChecksum, FillsTheBlank) {
    for (const bool ipv6 : {false, true}) {
        for (const bool tcp : {false, true}) {
            for (const std::size_t payload : {0, 1, 2, 1000, 1001, 9000}) {
                Bytes bytes = blank_frame(ipv6, tcp, payload);
                Frame frame;
                ASSERT_TRUE(ask_checksum(bytes, frame.offload));
                const std::size_t head = std::min<std::size_t>(bytes.size(), 101);
                frame.parts[1] = {bytes.data(), head};
                frame.parts[2] = {bytes.data() + head, (bytes.size() - head) / 2};
                frame.parts[3] = {bytes.data() + head + frame.parts[2].iov_len,
                                  bytes.size() - head - frame.parts[2].iov_len};
                frame.count = 4;
                frame.bytes = static_cast<std::uint32_t>(bytes.size());
                finish_checksum(frame);
                EXPECT_EQ(frame.offload.flags, 0);
                EXPECT_TRUE(sums_up(bytes)) << ipv6 << tcp << payload;
            }
        }
    }
}

TEST(AskSegments, PutsThePseudoHeadersSum) {
    for (const bool ipv6 : {false, true}) {
        Bytes bytes = blank_frame(ipv6, true, 30000);
        const Bytes right = bytes;
        put16(bytes, ipv6 ? 70 : 50, 0x1234);
        virtio_net_hdr offload{};
        ASSERT_TRUE(ask_segments(std::span{bytes}.first(200), bytes.size(), ipv6, 1000, offload));
        EXPECT_EQ(bytes, right);
        EXPECT_FALSE(ask_segments(std::span{bytes}.first(200), bytes.size(), !ipv6, 1000, offload));
        EXPECT_FALSE(ask_segments(std::span{bytes}.first(200), bytes.size(), ipv6, 0, offload));
    }
    Bytes udp = blank_frame(false, false, 3000);
    virtio_net_hdr offload{};
    EXPECT_FALSE(ask_segments(udp, udp.size(), false, 1000, offload));
}

TEST(Plausible, LooksAtTheLength) {
    virtio_net_hdr offload{};
    EXPECT_TRUE(plausible(offload, 60));
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload.csum_start = 34;
    offload.csum_offset = 16;
    EXPECT_TRUE(plausible(offload, 52));
    EXPECT_FALSE(plausible(offload, 51));
    offload.csum_offset = 0xffff;
    EXPECT_FALSE(plausible(offload, 60000));
    offload.csum_offset = 16;
    offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    EXPECT_FALSE(plausible(offload, 3000)); // no size
    offload.gso_size = 1000;
    EXPECT_TRUE(plausible(offload, 3000));
    offload.gso_type = 3; // UDP
    EXPECT_FALSE(plausible(offload, 3000));
    offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    offload.flags = 0;
    EXPECT_FALSE(plausible(offload, 3000));
}

} // namespace
} // namespace parapet::net::test
