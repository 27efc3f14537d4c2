// SPDX-License-Identifier: Apache-2.0
// Guest receive, from an endpoint to the ring.
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"

namespace parapet::net::test {
namespace {

virtio_net_hdr segments(std::uint8_t type, std::uint16_t size) {
    virtio_net_hdr offload{};
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload.gso_type = type;
    offload.gso_size = size;
    offload.csum_start = 34;
    offload.csum_offset = 16;
    return offload;
}

class NetRx : public testing::Test {
protected:
    void SetUp() override { guest.connect(); }
    void put(Bytes bytes, virtio_net_hdr offload = {}) { endpoint.put(*guest.io, std::move(bytes), offload); }
    std::uint64_t count(const char* name) { return guest.backend->statistics().at(name).as_uint64(); }
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
};

TEST_F(NetRx, ReceivesAFrame) {
    guest.offer(20);
    put(plain_frame(60));
    const GuestFrame got = guest.frame();
    EXPECT_EQ(got.bytes, plain_frame(60));
    EXPECT_EQ(got.flags, 0u);
    EXPECT_FALSE(got.extra);
    EXPECT_GE(guest.notified[9], 1u);
}

TEST_F(NetRx, ReceivesManyRoundTheRingInOrder) {
    guest.offer(64);
    for (unsigned i = 0; i < 1000; ++i) {
        put(plain_frame(60 + i, i));
        ASSERT_EQ(guest.frame().bytes, plain_frame(60 + i, i)) << i;
        guest.offer(1);
    }
}

TEST_F(NetRx, WaitsForBuffers) {
    for (unsigned i = 0; i < 5; ++i) {
        put(plain_frame(100, i));
    }
    EXPECT_EQ(guest.rx.answered(), 0u);
    for (unsigned i = 0; i < 5; ++i) { // one by one
        guest.offer(1);
        EXPECT_EQ(guest.frame().bytes, plain_frame(100, i));
    }
}

TEST_F(NetRx, ScattersLargeFrames) {
    guest.offer(60);
    for (const std::size_t size : {4096, 4097, 9000, 65535 + 14, 60, 8192, 12289}) {
        put(plain_frame(size));
        const GuestFrame got = guest.frame();
        EXPECT_EQ(got.bytes, plain_frame(size)) << size;
        guest.offer(static_cast<unsigned>((size + 4095) / 4096));
    }
    EXPECT_EQ(count("rx_frames"), 7u);
}

TEST_F(NetRx, GivesSegmentsTheirSlot) {
    guest.offer(60);
    // Each guess about what comes next, right and wrong, and frames that fit the pages on offer or not.
    const std::size_t sizes[] = {3000, 20000, 65549, 20000, 9000, 9000, 20000, 100, 5000, 5000};
    const bool large[] = {true, true, true, false, false, true, true, false, true, false};
    for (unsigned round = 0; round < 3; ++round) {
        for (unsigned i = 0; i < std::size(sizes); ++i) {
            const Bytes frame = plain_frame(sizes[i], round * 16 + i);
            const auto type = i % 2 != 0 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
            put(frame, large[i] ? segments(type, 1448) : virtio_net_hdr{});
            const GuestFrame got = guest.frame();
            ASSERT_EQ(got.bytes, frame) << i;
            ASSERT_EQ(got.extra.has_value(), large[i]);
            if (large[i]) {
                EXPECT_EQ(got.extra->type, abi::XEN_NETIF_EXTRA_TYPE_GSO);
                EXPECT_EQ(got.extra->u.gso.size, 1448);
                EXPECT_EQ(got.extra->u.gso.type,
                          i % 2 != 0 ? abi::XEN_NETIF_GSO_TYPE_TCPV6 : abi::XEN_NETIF_GSO_TYPE_TCPV4);
                EXPECT_EQ(got.flags & abi::NETRXF_csum_blank, abi::NETRXF_csum_blank);
            }
            guest.offer(static_cast<unsigned>((sizes[i] + 4095) / 4096) + large[i]);
        }
    }
    EXPECT_EQ(count("rx_segmented"), 18u);
}

TEST_F(NetRx, LargeFramesWaitForEnoughBuffers) {
    guest.offer(2);
    put(plain_frame(20000), segments(VIRTIO_NET_HDR_GSO_TCPV4, 1000));
    put(plain_frame(60, 2));
    guest.offer(3);
    guest.control.run_for(std::chrono::milliseconds{20});
    EXPECT_EQ(guest.rx.answered(), 0u);
    guest.offer(1);
    EXPECT_EQ(guest.frame().bytes, plain_frame(20000));
    guest.offer(1);
    EXPECT_EQ(guest.frame().bytes, plain_frame(60, 2));
}

TEST_F(NetRx, SaysWhatIsKnownOfTheChecksum) {
    guest.offer(20);
    virtio_net_hdr offload{};
    offload.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    put(plain_frame(60), offload);
    EXPECT_EQ(guest.frame().flags, abi::NETRXF_data_validated);
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    put(plain_frame(60), offload);
    EXPECT_EQ(guest.frame().flags, abi::NETRXF_data_validated | abi::NETRXF_csum_blank);
}

TEST_F(NetRx, AnswersBadBuffersAndGoesOn) {
    for (const std::uint32_t gref : {1000U, 100000U}) { // not granted, beyond the table
        guest.rx.put(abi::netif_rx_request{7, 0, gref});
    }
    guest.memory.grant(3, NetGuest::rx_mfn, abi::GTF_readonly);
    guest.rx.put(abi::netif_rx_request{7, 0, 3});
    guest.offered += 3;
    guest.offer(20);
    put(plain_frame(60));
    ASSERT_TRUE(eventually(guest.control, [&] { return guest.rx.answered() >= 3; }));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(guest.rx.take().status, abi::NETIF_RSP_ERROR);
    }
    EXPECT_EQ(guest.frame().bytes, plain_frame(60));
}

TEST_F(NetRx, DropsALargeFrameBeforeABadBuffer) {
    guest.offer(2);
    guest.rx.put(abi::netif_rx_request{2, 0, 1000});
    guest.offered += 1;
    guest.offer(20);
    put(plain_frame(20000));
    put(plain_frame(60, 2));
    EXPECT_EQ(guest.frame().bytes, plain_frame(60, 2));
    EXPECT_EQ(count("rx_dropped"), 1u);
}

TEST_F(NetRx, NeverWritesIntoATable) {
    guest.memory.set_frame(NetGuest::rx_mfn, doorbell::FrameOwner::domain, doorbell::FrameType::l1);
    guest.offer(2);
    put(plain_frame(60));
    ASSERT_TRUE(eventually(guest.control, [&] { return guest.rx.answered() >= 2; }));
    EXPECT_EQ(guest.rx.take().status, abi::NETIF_RSP_ERROR);
    EXPECT_EQ(guest.rx_page(0)[20], std::byte{});
    EXPECT_EQ(guest.frame().bytes, plain_frame(60));
}

TEST_F(NetRx, StopsAtAnIndexThatJumps) {
    guest.rx.word(0).store(0x80000000);
    guest.kick();
    ASSERT_TRUE(guest.stopped());
    EXPECT_NE(guest.failures[0].find("receive ring is broken"), std::string::npos);
    guest.disconnect();
}

/// Nothing arrives, and a read into the buffers is under way.
TEST_F(NetRx, StopsAtAnIndexThatJumpsWhileItWaits) {
    guest.offer(40);
    put(plain_frame(60));
    EXPECT_EQ(guest.frame().bytes, plain_frame(60));
    guest.rx.word(0).store(0x80000000);
    guest.kick();
    ASSERT_TRUE(guest.stopped());
    EXPECT_NE(guest.failures[0].find("receive ring is broken"), std::string::npos);
    guest.disconnect();
}

TEST_F(NetRx, GivesUnusedBuffersBack) {
    guest.offer(40);
    put(plain_frame(60));
    (void)guest.frame();
    EXPECT_GT(guest.grants.in_use(), 2u);
    guest.disconnect(); // expects none in use
}

TEST(NetRxFrontend, WithoutScatterGetsOnePage) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    guest.node("feature-sg", "0");
    guest.connect();
    EXPECT_EQ(endpoint.offloads, (Offloads{true, false, false}));
    guest.offer(20);
    endpoint.put(*guest.io, plain_frame(5000));
    endpoint.put(*guest.io, plain_frame(4096));
    EXPECT_EQ(guest.frame().bytes, plain_frame(4096));
}

TEST(NetRxFrontend, IsLookedAtIfItNeverSaysWhenItOffers) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    guest.no_node("feature-rx-notify");
    guest.connect();
    endpoint.put(*guest.io, plain_frame(60));
    guest.rx.put(abi::netif_rx_request{0, 0, NetGuest::rx_mfn});
    (void)guest.rx.push(); // no event
    EXPECT_EQ(guest.frame().bytes, plain_frame(60));
}

} // namespace
} // namespace parapet::net::test
