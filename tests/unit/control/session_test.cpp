// SPDX-License-Identifier: Apache-2.0
// One client's connection by itself, against the other end of a socket.
#include "vmm/control/session.hpp"

#include "vmm/control/socket_io.hpp"

#include <array>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace parapet::vmm::control {
namespace {

using namespace std::chrono_literals;

TEST(Session, PartsWhileItIsStillServed) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    const UniqueFd theirs{ends[1]};
    console::ScrollBack said{4 << 20};
    said.append(std::string(4 << 20, 'x'));
    boost::asio::io_context io;
    Session::Owner owner;
    owner.said = &said;
    const auto session = std::make_shared<Session>(UniqueFd{ends[0]}, owner);
    session->resume(io);
    session->view(true); // more than the socket takes: it waits until it can write
    io.run_for(10ms);
    std::array<char, 65536> bytes;
    for (unsigned i = 0; i < 10000 && !session->part({{"ended", "now"}}); i++) {
        (void)receive_some(theirs.get(), bytes);
    }
    EXPECT_TRUE(session->part({{"ended", "now"}}));
    EXPECT_FALSE(session->closed());
}

} // namespace
} // namespace parapet::vmm::control
