// SPDX-License-Identifier: Apache-2.0
// The handshake: nodes, queues, event channels, features.
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <thread>

namespace parapet::net::test {
namespace {

std::string value(const xenbus::Nodes& nodes, const std::string& name) {
    for (const auto& [key, text] : nodes) {
        if (key == name) {
            return text;
        }
    }
    return "-";
}

TEST(NetConnect, OffersWhatItDoes) {
    MemoryEndpoint endpoint;
    VifSpec spec = *parse_vif("user,mac=00:16:3e:01:02:03,mtu=9000,rate=1MB/s@20ms,trusted=0,queues=2,ip=10.0.0.1");
    NetGuest guest{endpoint, spec};
    const auto offer = guest.backend->offer();
    for (const char* feature : {"feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6", "feature-ipv6-csum-offload",
                                "feature-rx-copy", "feature-split-event-channels"}) {
        EXPECT_EQ(value(offer, feature), "1") << feature;
    }
    EXPECT_EQ(value(offer, "feature-rx-flip"), "0");
    EXPECT_EQ(value(offer, "multi-queue-max-queues"), "2");
    const auto front = guest.backend->frontend_nodes();
    EXPECT_EQ(value(front, "mac"), "00:16:3e:01:02:03");
    EXPECT_EQ(value(front, "mtu"), "9000");
    EXPECT_EQ(value(front, "handle"), "0");
    EXPECT_EQ(value(front, "trusted"), "0");
    const auto back = guest.backend->backend_nodes();
    EXPECT_EQ(value(back, "rate"), "20000,20000");
    EXPECT_EQ(value(back, "ip"), "10.0.0.1");
    EXPECT_EQ(value(back, "mac"), "00:16:3e:01:02:03");
}

TEST(NetConnect, RefusesBadNodes) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    const auto refused = [&](const std::string& node, const std::string& text, const std::string& why) {
        guest.one_queue();
        guest.no_node("multi-queue-num-queues");
        guest.node("request-rx-copy", "1");
        text.empty() ? guest.no_node(node) : guest.node(node, text);
        const auto connected = guest.try_connect();
        ASSERT_FALSE(connected.ok()) << node;
        EXPECT_NE(connected.error().message.find(why), std::string::npos) << connected.error().message;
        guest.disconnect(); // as the device does
    };
    refused("request-rx-copy", "0", "request-rx-copy");
    refused("tx-ring-ref", "", "tx-ring-ref is missing");
    refused("rx-ring-ref", "abc", "rx-ring-ref is missing or no number");
    refused("rx-ring-ref", "4294967296", "rx-ring-ref is missing or no number");
    refused("tx-ring-ref", "1000", "tx-ring-ref 1000 is refused"); // never granted
    refused("rx-ring-ref", "99999", "rx-ring-ref 99999 is refused");
    refused("event-channel", "", "event-channel is missing");
    refused("event-channel", "131072", "event-channel is missing or no number up to 131071");
    refused("multi-queue-num-queues", "0", "multi-queue-num-queues");
    refused("multi-queue-num-queues", "2", "multi-queue-num-queues is no number from 1 to 1");
    guest.no_node("multi-queue-num-queues");
    guest.connect(); // and after all that it works
    guest.put_frame(plain_frame(60));
    guest.push_tx();
    EXPECT_EQ(guest.tx_answers(1).size(), 1u);
}

TEST(NetConnect, RefusesAnEventChannelOfAnotherDevice) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    guest.one_queue();
    guest.node("event-channel", "7");
    guest.io->call([&] { guest.io->bind_port(7, [] {}); });
    const auto connected = guest.try_connect();
    ASSERT_FALSE(connected.ok());
    EXPECT_NE(connected.error().message.find("event channel 7 is in use"), std::string::npos);
    guest.disconnect();
    guest.io->call([&] {
        EXPECT_FALSE(guest.io->port_is_free(7)) << "the other device has lost it";
        guest.io->unbind_port(7);
    });
    EXPECT_TRUE(guest.try_connect().ok());
}

TEST(NetConnect, UsesTwoEventChannels) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    guest.node("tx-ring-ref", std::to_string(NetGuest::rings_mfn));
    guest.node("rx-ring-ref", std::to_string(NetGuest::rings_mfn + 1));
    guest.node("event-channel-tx", "5");
    guest.node("event-channel-rx", "6");
    ASSERT_TRUE(guest.try_connect().ok());
    guest.put_frame(plain_frame(60));
    guest.push_tx(5);
    EXPECT_EQ(guest.tx_answers(1).size(), 1u);
    EXPECT_EQ(guest.notified[5], 1u);
    EXPECT_EQ(guest.notified[6], 0u);
    guest.offer(4, 6);
    endpoint.put(*guest.io, plain_frame(70));
    EXPECT_EQ(guest.frame().bytes, plain_frame(70));
    EXPECT_EQ(guest.notified[5], 1u);
    EXPECT_EQ(guest.notified[6], 1u);
}

TEST(NetConnect, ServesSeveralQueues) {
    MemoryEndpoint endpoint{2};
    VifSpec spec;
    spec.queues = 2;
    NetGuest guest{endpoint, spec};
    guest.node("multi-queue-num-queues", "2");
    FrontTx tx1{guest.memory.frames.frame(NetGuest::rings_mfn + 2)};
    FrontRx rx1{guest.memory.frames.frame(NetGuest::rings_mfn + 3)};
    for (unsigned i = 0; i < 2; ++i) {
        const std::string queue = "queue-" + std::to_string(i) + '/';
        guest.node(queue + "tx-ring-ref", std::to_string(NetGuest::rings_mfn + 2 * i));
        guest.node(queue + "rx-ring-ref", std::to_string(NetGuest::rings_mfn + 2 * i + 1));
        guest.node(queue + "event-channel", std::to_string(10 + i));
    }
    ASSERT_TRUE(guest.try_connect().ok());
    guest.put_frame(plain_frame(60, 1));
    guest.push_tx(10);
    std::memcpy(guest.tx_page(5), plain_frame(60, 2).data(), 60);
    tx1.put(NetGuest::tx_request(5, 60));
    (void)tx1.push();
    guest.kick(11);
    EXPECT_EQ(guest.tx_answers(1).size(), 1u);
    ASSERT_TRUE(eventually(guest.control, [&] { return tx1.answered() == 1; }));
    ASSERT_EQ(endpoint.count(), 2u);
    EXPECT_EQ(endpoint.sent(0).queue + endpoint.sent(1).queue, 1u);
    rx1.put(abi::netif_rx_request{0, 0, NetGuest::rx_mfn + 40});
    (void)rx1.push();
    guest.kick(11);
    endpoint.put(*guest.io, plain_frame(80), {}, 1);
    ASSERT_TRUE(eventually(guest.control, [&] { return rx1.answered() == 1; }));
    EXPECT_EQ(rx1.take().status, 80);
    // Two queues on one event channel are refused.
    guest.disconnect();
    guest.node("queue-1/event-channel", "10");
    EXPECT_FALSE(guest.try_connect().ok());
}

TEST(NetConnect, TakesOffloadsOnlyWhereTheFrontendDoes) {
    const auto negotiated = [](const std::map<std::string, std::string>& nodes) {
        MemoryEndpoint endpoint;
        NetGuest guest{endpoint, VifSpec{}};
        for (const auto& [name, text] : nodes) {
            guest.node(name, text);
        }
        guest.connect();
        return endpoint.offloads;
    };
    EXPECT_EQ(negotiated({}), (Offloads{true, true, true}));
    EXPECT_EQ(negotiated({{"feature-no-csum-offload", "1"}}), (Offloads{false, false, false}));
    EXPECT_EQ(negotiated({{"feature-ipv6-csum-offload", "0"}}), (Offloads{false, false, false}));
    EXPECT_EQ(negotiated({{"feature-gso-tcpv6", "0"}}), (Offloads{true, true, false}));
    EXPECT_EQ(negotiated({{"feature-sg", "0"}}), (Offloads{true, false, false}));
}

TEST(NetConnect, ReconnectsManyTimes) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    for (unsigned i = 0; i < 50; ++i) {
        guest.tx.clear();
        guest.rx.clear();
        guest.offered = 0;
        guest.put_frame(plain_frame(60, i)); // before it is connected
        guest.rx.put(abi::netif_rx_request{0, 0, NetGuest::rx_mfn});
        (void)guest.tx.push();
        (void)guest.rx.push();
        guest.connect();
        EXPECT_EQ(guest.tx_answers(1).size(), 1u);
        endpoint.put(*guest.io, plain_frame(80, i));
        EXPECT_EQ(guest.frame().bytes, plain_frame(80, i));
        guest.disconnect();
    }
}

TEST(NetConnect, DisconnectsUnconnected) {
    MemoryEndpoint endpoint;
    NetGuest guest{endpoint, VifSpec{}};
    unsigned done = 0;
    guest.backend->disconnect([&] { ++done; });
    guest.backend->disconnect([&] { ++done; });
    EXPECT_TRUE(eventually(guest.control, [&] { return done == 2; }));
    EXPECT_EQ(guest.grants.in_use(), 0u);
    guest.rx.put(abi::netif_rx_request{0, 0, NetGuest::rx_mfn});
    (void)guest.rx.push();
    guest.connect(); // and is none the worse for it
    endpoint.put(*guest.io, plain_frame(80, 1));
    EXPECT_EQ(guest.frame().bytes, plain_frame(80, 1));
    guest.disconnect();
}

/// The guest closes its interface and powers off in the same moment: the device disconnects, and so does its manager.
TEST(NetConnect, ASecondDisconnectWaitsForTheFirst) {
    MemoryEndpoint endpoint;
    endpoint.slow_stop = true;
    NetGuest guest{endpoint, VifSpec{}};
    guest.connect();
    unsigned done = 0;
    guest.backend->disconnect([&] { ++done; });
    guest.backend->disconnect([&] { ++done; });
    (void)eventually(
        guest.control, [&] { return done != 0; }, std::chrono::milliseconds{50});
    EXPECT_EQ(done, 0u) << "the guest's memory is still in use";
    EXPECT_NE(guest.grants.in_use(), 0u);
    guest.io->call([&] { std::exchange(endpoint.stopped, nullptr)(); });
    EXPECT_TRUE(eventually(guest.control, [&] { return done == 2; }));
    EXPECT_EQ(guest.grants.in_use(), 0u);
    guest.backend->disconnect([&] { ++done; });
    EXPECT_EQ(done, 3u);
}

TEST(NetConnect, IsNotDestroyedBeforeItHasLetGo) {
    MemoryEndpoint endpoint;
    endpoint.slow_stop = true;
    NetGuest guest{endpoint, VifSpec{}};
    guest.connect();
    guest.backend->disconnect([] {});
    std::thread later{[&] {
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
        guest.io->call([&] { std::exchange(endpoint.stopped, nullptr)(); });
    }};
    guest.backend.reset();
    EXPECT_EQ(guest.grants.in_use(), 0u);
    later.join();
}

} // namespace
} // namespace parapet::net::test
