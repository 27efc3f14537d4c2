// SPDX-License-Identifier: Apache-2.0
// passt itself, in a network namespace of the test's own: started, served, and gone with its socket.
#include "backends/net/net_source.hpp"
#include "backends/net/passt_process.hpp"
#include "backends/net/stream_endpoint.hpp"
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/own_network.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>

namespace parapet::net::test {
namespace {

bool has(const std::vector<std::string>& arguments, const std::string& option, const std::string& value) {
    for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
        if (arguments[i] == option && arguments[i + 1] == value) {
            return true;
        }
    }
    return false;
}

TEST(PasstArguments, SayWhatWasAskedFor) {
    const auto spec = *parse_vif("user,forward=tcp:2222:22,forward=udp:0.0.0.0:53:5353,mtu=9000");
    const auto arguments = passt_arguments(spec, true);
    EXPECT_EQ(arguments[0], "passt");
    EXPECT_TRUE(has(arguments, "--fd", "3"));
    EXPECT_TRUE(has(arguments, "--tcp-ports", "127.0.0.1/2222:22"));
    EXPECT_TRUE(has(arguments, "--udp-ports", "0.0.0.0/53:5353"));
    EXPECT_TRUE(has(arguments, "--mtu", "9000"));
    EXPECT_EQ(std::count(arguments.begin(), arguments.end(), "--interface"), 0);
    const auto alone = passt_arguments(*parse_vif("user"), false);
    EXPECT_TRUE(has(alone, "--interface", "lo"));
    EXPECT_TRUE(has(alone, "--tcp-ports", "none"));
    EXPECT_TRUE(has(alone, "--udp-ports", "none"));
}

TEST(PasstComplaint, IsTheLastSentence) {
    EXPECT_EQ(passt_complaint("Don't run as root. Changing to nobody...\nFailed to send 47 bytes to syslog\n"
                              "Failed to bind any port for '-t 22', exiting\nFailed to send 11 bytes to syslog\n\n"),
              "Failed to bind any port for '-t 22', exiting");
    EXPECT_EQ(passt_complaint(""), "");
}

std::uint16_t free_port() {
    const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ntohs(address.sin_port);
}

UniqueFd dial(std::uint16_t port) {
    UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 && errno != EINPROGRESS) {
        socket = UniqueFd{};
    }
    return socket;
}

class Passt : public testing::Test {
protected:
    static void SetUpTestSuite() { own_network = enter_own_network(); }
    void SetUp() override {
        if (!own_network) {
            GTEST_SKIP() << "this host lets the test have no network namespace";
        }
        auto probe = start_passt(VifSpec{});
        if (!probe.ok()) {
            if (probe.error().message.find("not installed") != std::string::npos) {
                GTEST_SKIP() << probe.error().message;
            }
            FAIL() << probe.error().message;
        }
    }
    static inline bool own_network = false;
};

/// Asks who has `address`, 10.0.2.x.
Bytes arp_request(unsigned last) {
    Bytes frame(60);
    std::fill(frame.begin(), frame.begin() + 6, std::byte{0xff});
    const std::uint8_t mac[] = {0, 0x16, 0x3e, 1, 2, 3};
    std::memcpy(&frame[6], mac, 6);
    put16(frame, 12, 0x0806);
    put16(frame, 14, 1);
    put16(frame, 16, 0x0800);
    put16(frame, 18, 0x0604);
    put16(frame, 20, 1);
    std::memcpy(&frame[22], mac, 6);
    const std::uint8_t own[] = {10, 0, 2, 15};
    std::memcpy(&frame[28], own, 4);
    std::memcpy(&frame[38], own, 4);
    frame[41] = std::byte(last);
    return frame;
}

TEST_F(Passt, AnswersTheGuestAndForwardsPorts) {
    VifSpec spec;
    PortForward forward;
    forward.host_port = free_port();
    forward.guest_port = 22;
    spec.forwards.push_back(forward);
    auto socket = start_passt(spec);
    ASSERT_TRUE(socket.ok()) << socket.error().message;
    StreamEndpoint endpoint{*std::move(socket)};
    NetGuest guest{endpoint, spec};
    guest.connect();
    guest.offer(64);
    guest.put_frame(arp_request(2));
    guest.push_tx();
    const Bytes reply = guest.frame().bytes;
    ASSERT_GE(reply.size(), 42u);
    EXPECT_EQ(reply[13], std::byte{0x06});
    EXPECT_EQ(reply[21], std::byte{2}); // it is at
    const UniqueFd caller = dial(forward.host_port);
    ASSERT_TRUE(caller.valid());
    // The guest hears a SYN for its port 22.
    for (;;) {
        const GuestFrame got = guest.frame();
        ASSERT_FALSE(got.bytes.empty());
        const auto found = find_transport(got.bytes);
        if (found && found->tcp) {
            EXPECT_EQ(got.bytes[found->start + 3], std::byte{22});
            EXPECT_EQ(got.bytes[found->start + 13] & std::byte{2}, std::byte{2});
            EXPECT_TRUE(sums_up(got.bytes));
            break;
        }
    }
}

TEST_F(Passt, SaysThatAPortIsInUse) {
    const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(socket.get(), 1), 0);
    ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const std::string port = std::to_string(ntohs(address.sin_port));
    const auto source = open_vif(*parse_vif("user,forward=tcp:" + port + ":22"), 0);
    ASSERT_FALSE(source.ok());
    EXPECT_NE(source.error().message.find("the port is in use"), std::string::npos) << source.error().message;
    EXPECT_NE(source.error().message.find(port), std::string::npos) << source.error().message;
    EXPECT_EQ(source.error().message.find('\n'), std::string::npos);
}

TEST_F(Passt, GoesWithItsSocket) {
    VifSpec spec;
    PortForward forward;
    forward.host_port = free_port();
    forward.guest_port = 22;
    spec.forwards.push_back(forward);
    for (int i = 0; i < 3; ++i) { // its port is free again each time
        boost::asio::io_context control;
        std::string last;
        ASSERT_TRUE(eventually(control, [&] {
            const auto socket = start_passt(spec);
            last = socket.ok() ? "" : socket.error().message;
            return socket.ok();
        })) << last;
    }
}

TEST_F(Passt, IsHandedOver) {
    auto source = open_vif(*parse_vif("user,mac=00:16:3e:1:2:3,rate=1MB/s"), 1);
    ASSERT_TRUE(source.ok());
    auto taken = net_from_handover(std::move(**source).to_handover(), 9);
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    EXPECT_EQ((*taken)->id(), 9u); // the domain's next
    EXPECT_EQ((*taken)->describe(), "vif9 user, 00:16:3e:01:02:03");
}

TEST(NetHandover, TellsOfPortForwards) {
    devices::Handover handover;
    handover.description = {{"kind", "vif"},
                            {"mac", "00:16:3e:00:00:01"},
                            {"queues", 1},
                            {"endpoint", "user"},
                            {"forwards", boost::json::array{boost::json::array{false, "127.0.0.1", 2222, 22}}}};
    handover.descriptors.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const auto taken = net_from_handover(std::move(handover), 3);
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    EXPECT_EQ((*taken)->describe(), "vif3 user, 00:16:3e:00:00:01, tcp 127.0.0.1:2222 to 22");
    EXPECT_EQ((*taken)->name(), "vif3");
}

TEST(NetHandover, ChecksTheDescription) {
    const auto refused = [](const boost::json::object& description, std::size_t descriptors) {
        devices::Handover handover;
        handover.description = description;
        for (std::size_t i = 0; i < descriptors; ++i) {
            handover.descriptors.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
        }
        return !net_from_handover(std::move(handover), 9).ok();
    };
    const boost::json::object good{{"kind", "vif"}, {"mac", "00:16:3e:00:00:01"}, {"queues", 1}, {"endpoint", "user"}};
    EXPECT_FALSE(refused(good, 1));
    EXPECT_TRUE(refused(good, 0));
    EXPECT_TRUE(refused(good, 2));
    const auto changed = [&](const char* name, const boost::json::value& value) {
        boost::json::object object = good;
        object[name] = value;
        return refused(object, 1);
    };
    EXPECT_TRUE(changed("mac", "ff:ff:ff:ff:ff:ff"));
    EXPECT_TRUE(changed("mac", 7));
    EXPECT_TRUE(changed("devid", 65536));
    EXPECT_TRUE(changed("queues", 9));
    EXPECT_TRUE(changed("queues", 0));
    EXPECT_TRUE(changed("endpoint", "carrier pigeon"));
    EXPECT_TRUE(changed("rate", {0, 1}));
    EXPECT_TRUE(changed("rate", "fast"));
    EXPECT_FALSE(changed("rate", {1000, 50'000}));
    // An interval that is none in nanoseconds of 64 bits: to divide by it would end the domain.
    EXPECT_TRUE(changed("rate", {1000, std::uint64_t{1} << 61}));
    EXPECT_TRUE(changed("rate", {~std::uint64_t{0}, 50'000}));
    EXPECT_TRUE(changed("mtu", 67));
    EXPECT_TRUE(changed("mtu", 4'000'000'000U));
    EXPECT_TRUE(changed("forwards", 7));
    EXPECT_TRUE(changed("forwards", {{true, "127.0.0.1", 70000, 22}}));
    EXPECT_TRUE(refused({}, 1));
}

} // namespace
} // namespace parapet::net::test
