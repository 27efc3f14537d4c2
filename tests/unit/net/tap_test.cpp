// SPDX-License-Identifier: Apache-2.0
// A tap of this host's kernel, in a network namespace of the test's own; a packet socket is the host's side.
#include "backends/net/net_source.hpp"
#include "backends/net/tap_device.hpp"
#include "backends/net/tap_endpoint.hpp"
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/own_network.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <poll.h>

namespace parapet::net::test {
namespace {

/// The host's end: frames with a virtio_net_hdr.
class PacketSocket {
public:
    explicit PacketSocket(const std::string& interface) {
        const int on = 1;
        EXPECT_EQ(::setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    }
    void send(const Bytes& frame, virtio_net_hdr offload = {}) {
        Bytes message(sizeof(offload));
        std::memcpy(message.data(), &offload, sizeof(offload));
        message.insert(message.end(), frame.begin(), frame.end());
        EXPECT_EQ(::write(fd_.get(), message.data(), message.size()), static_cast<ssize_t>(message.size()))
            << std::strerror(errno);
    }
    Bytes receive(virtio_net_hdr& offload) {
        for (;;) {
            pollfd wait{fd_.get(), POLLIN, 0};
            if (::poll(&wait, 1, 10'000) != 1) {
                ADD_FAILURE() << "no frame";
                return {};
            }
            Bytes message(70000);
            sockaddr_ll from{};
            socklen_t size = sizeof(from);
            const ssize_t got =
                ::recvfrom(fd_.get(), message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (got > 10 && from.sll_pkttype != PACKET_OUTGOING) {
                std::memcpy(&offload, message.data(), sizeof(offload));
                return Bytes(message.begin() + 10, message.begin() + got);
            }
        }
    }

private:
    UniqueFd fd_{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))};
};

class Tap : public testing::Test {
protected:
    static void SetUpTestSuite() {
        usable = enter_own_network();
        usable = usable && open_tap({.name = "probe", .exists = false, .bridge = "", .mtu = {}, .queues = 1}).ok();
    }
    void SetUp() override {
        if (!usable) {
            GTEST_SKIP() << "this host lets the test make no tap interface";
        }
    }
    static inline bool usable = false;
};

struct TapGuest {
    explicit TapGuest(const std::map<std::string, std::string>& nodes = {}, unsigned mtu = 1500)
        : device{*open_tap({.name = "tap-test", .exists = false, .bridge = "", .mtu = mtu, .queues = 1})},
          endpoint{device.name, std::move(device.queues)}, guest{endpoint, VifSpec{}} {
        for (const auto& [name, text] : nodes) {
            guest.node(name, text);
        }
        guest.connect();
        guest.offer(64);
    }
    TapDevice device;
    TapEndpoint endpoint;
    NetGuest guest;
    PacketSocket host{"tap-test"};
};

abi::netif_extra_info gso(unsigned size) {
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
    extra.u.gso.size = static_cast<std::uint16_t>(size);
    extra.u.gso.type = abi::XEN_NETIF_GSO_TYPE_TCPV4;
    return extra;
}

virtio_net_hdr segments(std::uint16_t size) {
    virtio_net_hdr offload{};
    offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    offload.gso_size = size;
    offload.hdr_len = 54;
    offload.csum_start = 34;
    offload.csum_offset = 16;
    return offload;
}

/// With the fields that the kernel looks at when it cuts segments.
Bytes tcp_frame(std::size_t payload) {
    Bytes frame = blank_frame(false, true, payload);
    frame[22] = std::byte{64};
    frame[47] = std::byte{0x10}; // ACK
    ChecksumSum sum;
    sum.add(std::span{frame}.subspan(14, 20));
    const auto folded = static_cast<std::uint16_t>(~sum.folded());
    std::memcpy(&frame[24], &folded, 2);
    return frame;
}

TEST_F(Tap, CarriesFramesBothWays) {
    TapGuest tap{{}, 9000};
    for (const std::size_t size : {60, 1514, 9000}) {
        virtio_net_hdr offload{};
        tap.guest.put_frame(plain_frame(size));
        tap.guest.push_tx();
        EXPECT_EQ(tap.host.receive(offload), plain_frame(size));
        (void)tap.guest.tx_answers(static_cast<unsigned>((size + 4095) / 4096));
        tap.host.send(plain_frame(size, 2));
        EXPECT_EQ(tap.guest.frame().bytes, plain_frame(size, 2));
    }
}

TEST_F(Tap, KeepsFramesInOrder) {
    TapGuest tap;
    for (unsigned i = 0; i < 200; ++i) {
        tap.host.send(plain_frame(60 + i, i));
    }
    for (unsigned i = 0; i < 200; ++i) {
        ASSERT_EQ(tap.guest.frame().bytes, plain_frame(60 + i, i));
        tap.guest.offer(1);
    }
    for (unsigned i = 0; i < 30; ++i) {
        tap.guest.put_frame(plain_frame(80 + i, i), 0, std::nullopt, 4096, i);
    }
    tap.guest.push_tx();
    for (unsigned i = 0; i < 30; ++i) {
        virtio_net_hdr offload{};
        ASSERT_EQ(tap.host.receive(offload), plain_frame(80 + i, i));
    }
}

TEST_F(Tap, PassesLargeSegments) {
    TapGuest tap;
    virtio_net_hdr offload{};
    tap.guest.put_frame(tcp_frame(40000), abi::NETTXF_csum_blank, gso(1000));
    tap.guest.push_tx();
    EXPECT_EQ(tap.host.receive(offload).size(), 40054u);
    EXPECT_EQ(offload.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    EXPECT_EQ(offload.gso_size, 1000);
    tap.host.send(tcp_frame(50000), segments(1400));
    const GuestFrame got = tap.guest.frame();
    EXPECT_EQ(got.bytes, tcp_frame(50000));
    ASSERT_TRUE(got.extra);
    EXPECT_EQ(got.extra->u.gso.size, 1400);
    EXPECT_NE(got.flags & abi::NETRXF_csum_blank, 0u);
}

TEST_F(Tap, HasTheKernelFinishForAGuestWithoutOffloads) {
    TapGuest tap{{{"feature-no-csum-offload", "1"}}};
    tap.host.send(tcp_frame(5000), segments(1000));
    for (int i = 0; i < 5; ++i) {
        const GuestFrame got = tap.guest.frame();
        EXPECT_EQ(got.bytes.size(), 1054u);
        EXPECT_FALSE(got.extra);
        EXPECT_EQ(got.flags & abi::NETRXF_csum_blank, 0u);
        EXPECT_TRUE(sums_up(got.bytes));
    }
}

TEST_F(Tap, SaysThatItIsDownAndUpAgain) {
    TapGuest tap;
    const auto set_up = [](bool up) {
        const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        ifreq request{};
        std::strcpy(request.ifr_name, "tap-test");
        request.ifr_flags = static_cast<short>(up ? IFF_UP : 0);
        ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);
    };
    set_up(false);
    for (unsigned i = 0; i < 3; ++i) {
        tap.guest.put_frame(plain_frame(60), 0, std::nullopt, 4096, i);
    }
    tap.guest.push_tx();
    EXPECT_EQ(tap.guest.tx_answers(3), std::vector<int>(3, abi::NETIF_RSP_DROPPED));
    ASSERT_TRUE(eventually(tap.guest.control, [&] { return tap.guest.published["carrier"] == "0"; }));
    ASSERT_TRUE(eventually(tap.guest.control, [&] { return !tap.guest.log.empty(); }));
    EXPECT_EQ(tap.guest.log.size(), 1u); // once
    set_up(true);
    tap.guest.put_frame(plain_frame(60));
    tap.guest.push_tx();
    EXPECT_EQ(tap.guest.tx_answers(1), std::vector<int>{abi::NETIF_RSP_OKAY});
    ASSERT_TRUE(eventually(tap.guest.control, [&] { return tap.guest.published["carrier"] == "1"; }));
}

void delete_interface(const char* name) {
    struct {
        nlmsghdr header{sizeof(nlmsghdr) + sizeof(ifinfomsg), RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
        ifinfomsg link{};
    } request;
    request.link.ifi_index = static_cast<int>(::if_nametoindex(name));
    const UniqueFd socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    ASSERT_EQ(::send(socket.get(), &request, sizeof(request), 0), static_cast<ssize_t>(sizeof(request)));
    struct {
        nlmsghdr header;
        nlmsgerr error;
    } answer{};
    ASSERT_GE(::recv(socket.get(), &answer, sizeof(answer), MSG_TRUNC), static_cast<ssize_t>(sizeof(answer)));
    ASSERT_EQ(answer.error.error, 0);
}

TEST_F(Tap, SaysOnceThatItIsGone) {
    TapGuest tap;
    delete_interface("tap-test");
    ASSERT_TRUE(eventually(tap.guest.control, [&] { return !tap.guest.log.empty(); })) << "the read noticed it";
    EXPECT_NE(tap.guest.log[0].find("tap-test is gone"), std::string::npos) << tap.guest.log[0];
    tap.guest.put_frame(plain_frame(60));
    tap.guest.push_tx();
    EXPECT_EQ(tap.guest.tx_answers(1), std::vector<int>{abi::NETIF_RSP_DROPPED});
    EXPECT_EQ(tap.guest.published["carrier"], "0");
    tap.guest.disconnect();
    tap.guest.tx.clear();
    tap.guest.rx.clear();
    tap.guest.published.clear();
    tap.guest.connect();
    EXPECT_TRUE(eventually(tap.guest.control, [&] { return tap.guest.published["carrier"] == "0"; }));
    EXPECT_EQ(tap.guest.log.size(), 1u);
}

TEST_F(Tap, Reconnects) {
    TapGuest tap;
    for (unsigned i = 0; i < 10; ++i) {
        tap.guest.disconnect(); // a read was waiting
        tap.guest.tx.clear();
        tap.guest.rx.clear();
        tap.guest.offered = 0;
        tap.guest.connect();
        tap.guest.offer(20);
        tap.host.send(plain_frame(60, i));
        EXPECT_EQ(tap.guest.frame().bytes, plain_frame(60, i));
    }
}

TEST_F(Tap, SpreadsFlowsOverItsQueues) {
    auto source = open_vif(*parse_vif("tap,devid=4,vifname=tap-mq,queues=2,mtu=1400,mac=00:16:3e:0:0:1"), 0);
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_EQ((*source)->kind(), "vif");
    EXPECT_EQ((*source)->id(), 4u);
    EXPECT_EQ((*source)->describe(), "vif4 tap tap-mq, 00:16:3e:00:00:01");
    auto handover = std::move(**source).to_handover();
    EXPECT_EQ(handover.descriptors.size(), 2u);
    auto taken = net_from_handover(std::move(handover), 9);
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    EXPECT_EQ((*taken)->describe(), "vif4 tap tap-mq, 00:16:3e:00:00:01");
}

TEST_F(Tap, RefusesInOneSentence) {
    const auto refused = [](const char* text, const char* why) {
        const auto source = open_vif(*parse_vif(text), 0);
        ASSERT_FALSE(source.ok()) << text;
        EXPECT_NE(source.error().message.find(why), std::string::npos) << source.error().message;
    };
    refused("tap=nosuch", "there is no interface nosuch");
    refused("tap,vifname=lo", "there is an interface lo already");
    refused("tap=lo", "must be a tap interface");
    refused("tap,vifname=tap-b,bridge=nobridge", "there is no such bridge");
    const auto one = open_vif(*parse_vif("tap,vifname=tap-b"), 0);
    ASSERT_TRUE(one.ok());
    refused("tap=tap-b", "another program has it");
}

} // namespace
} // namespace parapet::net::test
