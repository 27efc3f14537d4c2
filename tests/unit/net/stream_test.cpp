// SPDX-License-Identifier: Apache-2.0
// The endpoint "user" against a test that plays passt.
#include "backends/net/stream_endpoint.hpp"
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <array>
#include <poll.h>
#include <sys/socket.h>

namespace parapet::net::test {
namespace {

class Stream : public testing::Test {
protected:
    void SetUp() override {
        std::array<int, 2> pair{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
        passt = UniqueFd{pair[1]};
        endpoint = std::make_unique<StreamEndpoint>(UniqueFd{pair[0]});
        guest = std::make_unique<NetGuest>(*endpoint, VifSpec{});
        guest->connect();
    }
    void TearDown() override { guest.reset(); }

    Bytes read(std::size_t size) {
        Bytes bytes(size);
        std::size_t done = 0;
        while (done < size) {
            pollfd wait{passt.get(), POLLIN, 0};
            if (::poll(&wait, 1, 10'000) != 1) {
                ADD_FAILURE() << "nothing comes";
                return bytes;
            }
            const ssize_t got = ::read(passt.get(), &bytes[done], size - done);
            if (got <= 0) {
                ADD_FAILURE() << "closed";
                return bytes;
            }
            done += static_cast<std::size_t>(got);
        }
        return bytes;
    }
    Bytes read_frame() {
        const Bytes length = read(4);
        std::size_t size = 0;
        for (const std::byte part : length) {
            size = size << 8 | std::to_integer<std::size_t>(part);
        }
        EXPECT_LE(size, most_frame_bytes);
        return read(std::min(size, most_frame_bytes));
    }
    void write(const Bytes& bytes) {
        ASSERT_EQ(::send(passt.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }
    void write_frame(const Bytes& frame) {
        Bytes message(4);
        put16(message, 0, static_cast<unsigned>(frame.size() >> 16));
        put16(message, 2, static_cast<unsigned>(frame.size()));
        message.insert(message.end(), frame.begin(), frame.end());
        write(message);
    }
    bool carrier(const char* is) {
        return eventually(guest->control, [&] { return guest->published["carrier"] == is; });
    }

    UniqueFd passt;
    std::unique_ptr<StreamEndpoint> endpoint;
    std::unique_ptr<NetGuest> guest;
};

TEST_F(Stream, CarriesFramesBothWays) {
    guest->offer(64);
    for (const std::size_t size : {14, 60, 1514, 40000}) {
        guest->put_frame(plain_frame(size));
        guest->push_tx();
        EXPECT_EQ(read_frame(), plain_frame(size));
        write_frame(plain_frame(size, 3));
        const GuestFrame got = guest->frame();
        EXPECT_EQ(got.bytes, plain_frame(size, 3));
        EXPECT_EQ(got.flags, abi::NETRXF_data_validated | (size > 4096 ? abi::NETRXF_more_data : 0));
        (void)guest->tx_answers(static_cast<unsigned>((size + 4095) / 4096));
    }
}

TEST_F(Stream, FinishesChecksumsAndLeavesSegmentsLarge) {
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
    extra.u.gso.size = 1448;
    extra.u.gso.type = abi::XEN_NETIF_GSO_TYPE_TCPV4;
    guest->put_frame(blank_frame(false, true, 60000), abi::NETTXF_csum_blank, extra);
    guest->put_frame(blank_frame(true, false, 1000), abi::NETTXF_csum_blank, std::nullopt, 4096, 20);
    guest->push_tx();
    const Bytes large = read_frame();
    EXPECT_EQ(large.size(), 60054u);
    EXPECT_TRUE(sums_up(large));
    EXPECT_TRUE(sums_up(read_frame()));
}

TEST_F(Stream, SendsALotInOrderToASlowReader) {
    unsigned sent = 0, got = 0;
    constexpr unsigned frames = 500;
    while (got < frames) {
        for (unsigned i = 0; i < 32 && sent < frames; ++i, ++sent) {
            guest->put_frame(plain_frame(4000, sent), 0, std::nullopt, 4096, sent % 32);
        }
        guest->push_tx();
        guest->control.run_for(std::chrono::milliseconds{1});
        const unsigned until = sent;
        for (; got < until; ++got) {
            ASSERT_EQ(read_frame(), plain_frame(4000, got)) << got;
        }
        (void)guest->tx_answers(std::min(32U, guest->tx.produced() - guest->tx.consumed()));
    }
}

TEST_F(Stream, KeepsTheStreamWholeWhenAGuestGoes) {
    // More than the socket holds; then the guest goes, in the middle of a frame.
    int size = 4096;
    ASSERT_EQ(::setsockopt(passt.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    unsigned total = 0;
    for (unsigned round = 0; round < 12; ++round) {
        for (unsigned i = 0; i < 16; ++i) {
            guest->put_frame(plain_frame(8000, i), 0, std::nullopt, 4096, i * 2);
        }
        guest->push_tx();
        guest->control.run_for(std::chrono::milliseconds{5});
        total += 16;
    }
    EXPECT_LT(guest->tx.answered(), total * 2);
    guest->disconnect(); // no page is in use
    guest->tx.clear();
    guest->rx.clear();
    guest->connect();
    guest->put_frame(plain_frame(100, 77));
    guest->push_tx();
    Bytes frame;
    do { // what was in the socket, whole, and then the new one
        frame = read_frame();
        ASSERT_TRUE(frame.size() == 8000 || frame.size() == 100) << frame.size();
    } while (frame.size() != 100);
    EXPECT_EQ(frame, plain_frame(100, 77));
}

TEST_F(Stream, NoticesItsEnd) {
    ASSERT_TRUE(carrier("1"));
    guest->offer(4);
    passt = UniqueFd{};
    ASSERT_TRUE(carrier("0"));
    ASSERT_TRUE(eventually(guest->control, [&] { return !guest->log.empty(); }));
    EXPECT_NE(guest->log[0].find("passt is gone"), std::string::npos);
    guest->put_frame(plain_frame(60));
    guest->push_tx();
    EXPECT_EQ(guest->tx_answers(1), std::vector<int>{abi::NETIF_RSP_DROPPED});
    EXPECT_EQ(guest->log.size(), 1u); // once
    guest->disconnect();
    guest->published.clear();
    guest->connect();
    ASSERT_TRUE(carrier("0"));
}

TEST_F(Stream, CutsOffImpossibleLengths) {
    ASSERT_TRUE(carrier("1"));
    guest->offer(4);
    write(Bytes(4, std::byte{0xff}));
    ASSERT_TRUE(carrier("0"));
    ASSERT_TRUE(eventually(guest->control, [&] { return !guest->log.empty(); }));
    EXPECT_NE(guest->log[0].find("impossible length"), std::string::npos);
}

} // namespace
} // namespace parapet::net::test
