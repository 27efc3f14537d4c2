// SPDX-License-Identifier: Apache-2.0
// Guest transmit, from the ring to an endpoint.
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"

namespace parapet::net::test {
namespace {

abi::netif_extra_info gso(unsigned size, unsigned type = abi::XEN_NETIF_GSO_TYPE_TCPV4) {
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
    extra.u.gso.size = static_cast<std::uint16_t>(size);
    extra.u.gso.type = static_cast<std::uint8_t>(type);
    return extra;
}

class NetTx : public testing::Test {
protected:
    void SetUp() override { guest.connect(); }
    void expect_stopped(const std::string& why) {
        guest.push_tx();
        ASSERT_TRUE(guest.stopped());
        EXPECT_NE(guest.failures[0].find(why), std::string::npos) << guest.failures[0];
        EXPECT_EQ(endpoint.count(), 0u);
        guest.disconnect();
        EXPECT_EQ(guest.failures.size(), 1u);
    }
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
};

TEST_F(NetTx, SendsAFrame) {
    const Bytes frame = plain_frame(60);
    guest.put_frame(frame);
    guest.push_tx();
    EXPECT_EQ(guest.tx_answers(1), std::vector<int>{abi::NETIF_RSP_OKAY});
    ASSERT_EQ(endpoint.count(), 1u);
    EXPECT_EQ(endpoint.sent(0).bytes, frame);
    EXPECT_EQ(endpoint.sent(0).offload.flags, 0);
    EXPECT_GE(guest.notified[9], 1u);
}

TEST_F(NetTx, SendsManyRoundTheRingInOrder) {
    constexpr unsigned rounds = 60, each = 20;
    for (unsigned round = 0; round < rounds; ++round) {
        for (unsigned i = 0; i < each; ++i) {
            guest.put_frame(plain_frame(100, round * each + i), 0, std::nullopt, 4096, i);
        }
        guest.push_tx();
        EXPECT_EQ(guest.tx_answers(each).size(), each);
    }
    ASSERT_EQ(endpoint.count(), rounds * each);
    for (unsigned i = 0; i < rounds * each; ++i) {
        ASSERT_EQ(endpoint.sent(i).bytes, plain_frame(100, i)) << i;
    }
}

TEST_F(NetTx, GathersFragments) {
    const Bytes frame = plain_frame(18 * 3000);
    guest.put_frame(frame, 0, std::nullopt, 3000);
    guest.push_tx();
    EXPECT_EQ(guest.tx_answers(18), std::vector<int>(18, abi::NETIF_RSP_OKAY));
    EXPECT_EQ(endpoint.sent(0).bytes, frame);
}

TEST_F(NetTx, FindsTheBlankChecksum) {
    for (const bool ipv6 : {false, true}) {
        for (const bool tcp : {false, true}) {
            const std::size_t n = endpoint.count();
            guest.put_frame(blank_frame(ipv6, tcp, 5000), abi::NETTXF_csum_blank | abi::NETTXF_data_validated);
            guest.push_tx();
            EXPECT_EQ(guest.tx_answers(2), std::vector<int>(2, abi::NETIF_RSP_OKAY));
            const auto sent = endpoint.sent(n);
            EXPECT_EQ(sent.bytes, blank_frame(ipv6, tcp, 5000));
            EXPECT_EQ(sent.offload.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
            EXPECT_EQ(sent.offload.csum_start, 14 + (ipv6 ? 40 : 20));
            EXPECT_EQ(sent.offload.csum_offset, tcp ? 16 : 6);
        }
    }
}

TEST_F(NetTx, PassesLargeSegments) {
    for (const bool ipv6 : {false, true}) {
        const std::size_t n = endpoint.count();
        Bytes frame = blank_frame(ipv6, true, 60000);
        const Bytes right = frame;
        put16(frame, 14 + (ipv6 ? 40 : 20) + 16, 0xdead); // the pseudo-header's sum is ours to put
        guest.put_frame(frame, abi::NETTXF_csum_blank,
                        gso(1448, ipv6 ? abi::XEN_NETIF_GSO_TYPE_TCPV6 : abi::XEN_NETIF_GSO_TYPE_TCPV4));
        guest.push_tx();
        const auto answers = guest.tx_answers(16);
        EXPECT_EQ(answers[0], abi::NETIF_RSP_OKAY);
        EXPECT_EQ(answers[1], abi::NETIF_RSP_NULL); // the extra's slot
        const auto sent = endpoint.sent(n);
        EXPECT_EQ(sent.bytes, right);
        EXPECT_EQ(sent.offload.gso_type, ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
        EXPECT_EQ(sent.offload.gso_size, 1448);
        EXPECT_EQ(sent.offload.hdr_len, 14 + (ipv6 ? 40 : 20) + 20);
    }
}

TEST_F(NetTx, SendsItsOwnCopyOfTheHeaders) {
    endpoint.hold(true);
    guest.put_frame(blank_frame(false, true, 1000), abi::NETTXF_csum_blank);
    guest.push_tx();
    ASSERT_TRUE(eventually(guest.control, [&] { return endpoint.count() == 1; }));
    EXPECT_EQ(guest.tx.answered(), 0u); // only when it has left
    EXPECT_EQ(guest.grants.in_use(), 3u);
    guest.disconnect(); // calls it back
    EXPECT_EQ(guest.tx.answered(), 1u);
}

TEST_F(NetTx, DropsWhatMakesNoSense) {
    guest.put_frame(plain_frame(100), abi::NETTXF_csum_blank);             // no TCP or UDP in it
    guest.put_frame(blank_frame(true, true, 2000), 0, gso(1000), 4096, 1); // IPv6, called IPv4
    guest.put_frame(plain_frame(60), 0, std::nullopt, 4096, 2);
    guest.push_tx();
    const auto answers = guest.tx_answers(4);
    EXPECT_EQ(answers.size(), 4u);
    ASSERT_EQ(endpoint.count(), 1u);
    EXPECT_EQ(endpoint.sent(0).bytes, plain_frame(60));
    EXPECT_EQ(guest.backend->statistics().at("tx_dropped").as_uint64(), 2u);
}

TEST_F(NetTx, AnswersErrorsAndGoesOn) {
    guest.tx.put(NetGuest::tx_request(0, 13)); // shorter than a header
    auto foreign = NetGuest::tx_request(1, 60);
    foreign.gref = 999; // never granted
    guest.tx.put(foreign);
    auto second = NetGuest::tx_request(2, 100);
    second.flags = abi::NETTXF_more_data;
    guest.tx.put(second);
    auto beyond = NetGuest::tx_request(3, 40);
    beyond.gref = 100000; // beyond the table
    guest.tx.put(beyond);
    for (unsigned i = 0; i < 19; ++i) { // one slot more than promised
        guest.tx.put(NetGuest::tx_request(4 + i, i == 0 ? 20 * 19 : 20, i < 18 ? abi::NETTXF_more_data : 0));
    }
    guest.put_frame(plain_frame(60), 0, std::nullopt, 4096, 30);
    guest.push_tx();
    auto answers = guest.tx_answers(24);
    ASSERT_EQ(answers.size(), 24u);
    EXPECT_EQ(answers.back(), abi::NETIF_RSP_OKAY);
    answers.pop_back();
    EXPECT_EQ(answers, std::vector<int>(23, abi::NETIF_RSP_ERROR));
    EXPECT_TRUE(guest.failures.empty());
    ASSERT_EQ(endpoint.count(), 1u);
    EXPECT_EQ(guest.backend->statistics().at("tx_errors").as_uint64(), 4u);
}

TEST_F(NetTx, StopsAtAFragmentAcrossItsPage) {
    guest.tx.put(NetGuest::tx_request(0, 100, 0, 4000));
    expect_stopped("crosses the end of its page");
}

TEST_F(NetTx, StopsAtFragmentsLargerThanThePacket) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_more_data));
    guest.tx.put(NetGuest::tx_request(1, 101));
    expect_stopped("larger than the packet");
}

TEST_F(NetTx, StopsAtAPacketWithoutEnd) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_more_data));
    expect_stopped("lacks its last requests");
}

TEST_F(NetTx, StopsAtTooManyRequests) {
    for (unsigned i = 0; i < 30; ++i) {
        guest.tx.put(NetGuest::tx_request(i, i == 0 ? 3000 : 20, abi::NETTXF_more_data));
    }
    expect_stopped("more than 20 requests");
}

TEST_F(NetTx, StopsAtMissingExtras) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_extra_info));
    expect_stopped("lacks its extra information");
}

TEST_F(NetTx, StopsAtUnknownExtras) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_extra_info));
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_MAX;
    guest.tx.put(extra);
    expect_stopped("extra information of type 5");
}

TEST_F(NetTx, StopsAtEndlessExtras) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_extra_info));
    abi::netif_extra_info extra = gso(1000);
    extra.flags = abi::XEN_NETIF_EXTRA_FLAG_MORE;
    for (unsigned i = 0; i < 100; ++i) {
        guest.tx.put(extra);
    }
    expect_stopped("extra information");
}

TEST_F(NetTx, StopsAtSegmentsOfNoSize) {
    guest.put_frame(blank_frame(false, true, 2000), abi::NETTXF_csum_blank, gso(0));
    expect_stopped("segments");
}

TEST_F(NetTx, StopsAtSegmentsOfAnUnknownKind) {
    guest.put_frame(blank_frame(false, true, 2000), abi::NETTXF_csum_blank, gso(1000, 3));
    expect_stopped("segments");
}

TEST_F(NetTx, StopsAtAnIndexThatJumps) {
    guest.tx.word(0).store(5000);
    guest.kick();
    ASSERT_TRUE(guest.stopped());
    EXPECT_NE(guest.failures[0].find("more requests than there are slots"), std::string::npos);
}

TEST_F(NetTx, WorksAgainAfterAReset) {
    guest.tx.put(NetGuest::tx_request(0, 100, abi::NETTXF_more_data));
    guest.push_tx();
    ASSERT_TRUE(guest.stopped());
    guest.disconnect();
    guest.tx.clear();
    guest.rx.clear();
    guest.connect();
    guest.put_frame(plain_frame(60));
    guest.push_tx();
    EXPECT_EQ(guest.tx_answers(1), std::vector<int>{abi::NETIF_RSP_OKAY});
}

TEST(NetRate, HoldsTransmitBack) {
    VifSpec spec;
    spec.rate = VifRate{10'000, 20'000}; // 500 kB/s
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, spec};
    guest.connect();
    const auto begin = std::chrono::steady_clock::now();
    constexpr unsigned frames = 30;
    for (unsigned i = 0; i < frames; ++i) {
        guest.put_frame(plain_frame(4000, i), 0, std::nullopt, 4096, i);
    }
    guest.push_tx();
    EXPECT_EQ(guest.tx_answers(frames).size(), frames);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(took, std::chrono::milliseconds{180}); // 120 kB less a first burst of 10 kB, at two frames an interval
    for (unsigned i = 0; i < frames; ++i) {
        EXPECT_EQ(endpoint.sent(i).bytes, plain_frame(4000, i));
    }
}

} // namespace
} // namespace parapet::net::test
