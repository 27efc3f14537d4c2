// SPDX-License-Identifier: Apache-2.0
// Two guests and the cable between them, each with its own I/O thread, as in two processes.
#include "backends/net/link_endpoint.hpp"
#include "backends/net/segment.hpp"
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <malloc.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>

namespace parapet::net::test {
namespace {

class Folder {
public:
    Folder() {
        char name[] = "/tmp/parapet-link-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string operator/(const char* name) const { return path_ + '/' + name; }

private:
    std::string path_;
};

/// One domain's end.
struct End {
    explicit End(const std::string& path, const std::function<void(NetGuest&)>& prepare = {})
        : endpoint{path, *open_link(path)}, guest{endpoint, VifSpec{}} {
        if (prepare) {
            prepare(guest);
        }
        guest.connect();
        guest.offer(64);
    }
    bool carrier(const std::string& is) {
        return eventually(guest.control, [&] { return guest.published["carrier"] == is; });
    }
    LinkEndpoint endpoint;
    NetGuest guest;
};

void exchange(End& from, End& to, unsigned seed) {
    for (const std::size_t size : {60, 1514, 9000, 40000}) {
        const Bytes frame = plain_frame(size, seed);
        from.guest.put_frame(frame);
        from.guest.push_tx();
        EXPECT_EQ(to.guest.frame().bytes, frame);
        EXPECT_EQ(from.guest.tx_answers(static_cast<unsigned>((size + 4095) / 4096))[0], abi::NETIF_RSP_OKAY);
        to.guest.offer(static_cast<unsigned>((size + 4095) / 4096));
    }
}

TEST(Link, CarriesFramesBothWays) {
    const Folder folder;
    End one{folder / "link"}, other{folder / "link"};
    ASSERT_TRUE(one.carrier("1"));
    ASSERT_TRUE(other.carrier("1"));
    exchange(one, other, 1);
    exchange(other, one, 2);
}

TEST(Link, PassesOffloadsUnfinished) {
    const Folder folder;
    End one{folder / "link"}, other{folder / "link"};
    ASSERT_TRUE(one.carrier("1"));
    const Bytes frame = blank_frame(false, true, 50000);
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
    extra.u.gso.size = 1448;
    extra.u.gso.type = abi::XEN_NETIF_GSO_TYPE_TCPV4;
    one.guest.put_frame(frame, abi::NETTXF_csum_blank, extra);
    one.guest.push_tx();
    const GuestFrame got = other.guest.frame();
    EXPECT_EQ(got.bytes, frame);
    ASSERT_TRUE(got.extra);
    EXPECT_EQ(got.extra->u.gso.size, 1448);
    EXPECT_NE(got.flags & abi::NETRXF_csum_blank, 0u);
}

TEST(Link, FinishesChecksumsForAGuestThatTakesNoBlankOnes) {
    const Folder folder;
    End one{folder / "link"};
    End other{folder / "link", [](NetGuest& guest) { guest.node("feature-no-csum-offload", "1"); }};
    ASSERT_TRUE(one.carrier("1"));
    one.guest.put_frame(blank_frame(true, false, 3000), abi::NETTXF_csum_blank);
    one.guest.push_tx();
    const GuestFrame got = other.guest.frame();
    EXPECT_EQ(got.flags & abi::NETRXF_csum_blank, 0u);
    EXPECT_TRUE(sums_up(got.bytes));
}

TEST(Link, CutsSegmentsForAGuestThatTakesNoLargeOnes) {
    const Folder folder;
    End one{folder / "link"};
    End other{folder / "link", [](NetGuest& guest) { guest.node("feature-gso-tcpv4", "0"); }};
    ASSERT_TRUE(one.carrier("1"));
    const Bytes frame = blank_frame(false, true, 10 * 1000 + 7);
    abi::netif_extra_info extra{};
    extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
    extra.u.gso.size = 1000;
    extra.u.gso.type = abi::XEN_NETIF_GSO_TYPE_TCPV4;
    one.guest.put_frame(frame, abi::NETTXF_csum_blank, extra);
    one.guest.push_tx();
    Bytes payload;
    for (unsigned i = 0; i < 11; ++i) {
        const GuestFrame got = other.guest.frame();
        EXPECT_FALSE(got.extra);
        EXPECT_EQ(got.bytes.size(), i < 10 ? 1054u : 61u);
        EXPECT_TRUE(sums_up(got.bytes));
        payload.insert(payload.end(), got.bytes.begin() + 54, got.bytes.end());
    }
    EXPECT_EQ(payload, Bytes(frame.begin() + 54, frame.end()));
    EXPECT_GE(one.guest.tx_answers(4).size(), 4u);
}

TEST(Link, SurvivesThePartnersEnd) {
    const Folder folder;
    End one{folder / "link"};
    for (unsigned i = 0; i < 5; ++i) {
        End other{folder / "link"};
        ASSERT_TRUE(one.carrier("1"));
        exchange(one, other, i);
        exchange(other, one, i);
        one.guest.published.clear();
    }
    ASSERT_TRUE(one.carrier("0"));
    one.guest.put_frame(plain_frame(60)); // to nobody
    one.guest.push_tx();
    EXPECT_EQ(one.guest.tx_answers(1), std::vector<int>{abi::NETIF_RSP_DROPPED});
}

TEST(Link, SurvivesTheListenersEnd) {
    const Folder folder;
    auto one = std::make_unique<End>(folder / "link");
    End other{folder / "link"};
    for (unsigned i = 0; i < 5; ++i) {
        ASSERT_TRUE(other.carrier("1"));
        ASSERT_TRUE(one->carrier("1"));
        exchange(*one, other, i);
        one.reset();
        ASSERT_TRUE(other.carrier("0"));
        one = std::make_unique<End>(folder / "link"); // the other one accepts now
    }
    ASSERT_TRUE(other.carrier("1"));
    exchange(other, *one, 9);
}

TEST(Link, SurvivesAGuestsReboot) {
    const Folder folder;
    End one{folder / "link"}, other{folder / "link"};
    for (unsigned i = 0; i < 5; ++i) {
        ASSERT_TRUE(one.carrier("1"));
        exchange(one, other, i);
        other.guest.disconnect();
        ASSERT_TRUE(one.carrier("0"));
        // A full cable must not hold the sender's pages.
        for (unsigned j = 0; j < 20; ++j) {
            one.guest.put_frame(plain_frame(4000, j), 0, std::nullopt, 4096, j);
        }
        one.guest.push_tx();
        EXPECT_EQ(one.guest.tx_answers(20).size(), 20u);
        other.guest.tx.clear();
        other.guest.rx.clear();
        other.guest.offered = 0;
        other.guest.connect();
        other.guest.offer(64);
    }
}

TEST(Link, HoldsFramesForAGuestWithoutBuffers) {
    const Folder folder;
    End one{folder / "link"};
    End other{folder / "link"};
    ASSERT_TRUE(one.carrier("1"));
    constexpr unsigned frames = 400; // more than the socket holds
    unsigned sent = 0, got = 0;
    for (; got < frames; ++got) {
        if (sent < frames && one.guest.tx.produced() - one.guest.tx.consumed() < 32) {
            for (; sent < frames && one.guest.tx.produced() - one.guest.tx.consumed() < 32; ++sent) {
                one.guest.put_frame(plain_frame(4000, sent), 0, std::nullopt, 4096, sent % 32);
            }
            one.guest.push_tx();
        }
        ASSERT_EQ(other.guest.frame().bytes, plain_frame(4000, got)) << got;
        if (got % 7 == 6) {
            other.guest.offer(7);
        }
        while (one.guest.tx.answered() != 0) {
            EXPECT_EQ(one.guest.tx.take().status, abi::NETIF_RSP_OKAY);
        }
    }
}

TEST(Link, LetsGoOfAFullCable) {
    const Folder folder;
    End one{folder / "link"};
    End other{folder / "link"};
    ASSERT_TRUE(one.carrier("1"));
    for (unsigned round = 0; round < 6; ++round) {
        for (unsigned i = 0; i < 32; ++i) {
            one.guest.put_frame(plain_frame(4000, i), 0, std::nullopt, 4096, i);
        }
        one.guest.push_tx();
        one.guest.control.run_for(std::chrono::milliseconds{10});
    }
    EXPECT_LT(one.guest.tx.answered(), 6 * 32u); // it is full
    one.guest.disconnect();                      // expects that no page is in use
}

TEST(Link, CutsOffAPartnerThatLies) {
    const Folder folder;
    const std::string path = folder / "link";
    End one{path};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const auto join = [&] {
        UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        LinkHeader hello{};
        hello.type = LinkMessage::hello;
        EXPECT_EQ(::write(socket.get(), &hello, sizeof(hello)), static_cast<ssize_t>(sizeof(hello)));
        return socket;
    };
    const auto say = [&](const UniqueFd& socket, LinkHeader header, std::size_t bytes) {
        std::vector<std::byte> message(sizeof(header) + bytes);
        std::memcpy(message.data(), &header, sizeof(header));
        (void)!::send(socket.get(), message.data(), message.size(), MSG_NOSIGNAL);
    };
    {
        const UniqueFd socket = join(); // wrong offloads: dropped
        ASSERT_TRUE(one.carrier("1"));
        LinkHeader header{};
        header.offload.gso_type = 7;
        say(socket, header, 100);
        header.offload = {};
        header.offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.offload.csum_start = 99;
        say(socket, header, 100);
        header.offload = {};
        say(socket, header, 13);
        say(socket, header, 80'000); // longer than any frame
        header.type = static_cast<LinkMessage>(77);
        say(socket, header, 100);
        header.type = LinkMessage::frame;
        say(socket, header, 99);
        EXPECT_EQ(one.guest.frame().bytes.size(), 99u); // only the good one
    }
    ASSERT_TRUE(one.carrier("0"));
    {
        const UniqueFd socket = join(); // another protocol: cut off
        ASSERT_TRUE(one.carrier("1"));
        LinkHeader header{};
        header.version = 2;
        say(socket, header, 100);
        ASSERT_TRUE(one.carrier("0"));
    }
    {
        const UniqueFd socket = join(); // no header at all
        ASSERT_TRUE(one.carrier("1"));
        ASSERT_EQ(::send(socket.get(), "x", 1, MSG_NOSIGNAL), 1);
        ASSERT_TRUE(one.carrier("0"));
    }
    End other{path};
    ASSERT_TRUE(one.carrier("1"));
    exchange(one, other, 5);
}

unsigned open_descriptors() {
    const std::filesystem::directory_iterator all{"/proc/self/fd"};
    return static_cast<unsigned>(std::distance(begin(all), end(all)));
}

TEST(Link, KeepsNoDescriptorsThatAPartnerGivesAway) {
    const Folder folder;
    const std::string path = folder / "link";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const UniqueFd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    End one{path};
    const UniqueFd socket{::accept(listener.get(), nullptr, nullptr)};
    ASSERT_TRUE(socket.valid());
    const auto say = [&](LinkMessage type, unsigned descriptors) {
        LinkHeader header{};
        header.type = type;
        iovec piece{&header, sizeof(header)};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        cmsghdr* const part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (unsigned i = 0; i < descriptors; ++i) {
            const int fd = listener.get();
            std::memcpy(CMSG_DATA(part) + i * sizeof(int), &fd, sizeof(fd));
        }
        ASSERT_EQ(::sendmsg(socket.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(header)));
    };
    const unsigned before = open_descriptors();
    for (unsigned i = 0; i < 50; ++i) {
        say(LinkMessage::bye, 2);
        say(LinkMessage::frame, 2);
        say(LinkMessage::frame, 8);
    }
    say(LinkMessage::hello, 2);
    ASSERT_TRUE(one.carrier("1")); // it has heard them all
    EXPECT_EQ(open_descriptors(), before + 1) << "one listener is what it takes";
}

/// The kernel notes the limit of open files when the listener begins to wait: here, when the first partner has gone.
TEST(Link, TakesItsPartnerWhenAShortageIsOver) {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizers' runtime opens files itself";
#endif
    const Folder folder;
    End one{folder / "link"};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder / "link").copy(address.sun_path, sizeof(address.sun_path) - 1);
    UniqueFd first{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    const UniqueFd second{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    const timeval limit{10, 0};
    ASSERT_EQ(::setsockopt(second.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    const auto connect = [&](const UniqueFd& socket) {
        return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    };
    LinkHeader hello{};
    ASSERT_EQ(connect(first), 0);
    ASSERT_EQ(::recv(first.get(), &hello, sizeof(hello), 0), static_cast<ssize_t>(sizeof(hello)));
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{3, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    first = UniqueFd{};
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    const int connected = connect(second);
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    const ssize_t early = ::recv(second.get(), &hello, sizeof(hello), MSG_DONTWAIT);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_EQ(connected, 0);
    ASSERT_LT(early, 0) << "there was no shortage";
    ASSERT_EQ(::recv(second.get(), &hello, sizeof(hello), 0), static_cast<ssize_t>(sizeof(hello)));
    EXPECT_EQ(hello.type, LinkMessage::hello);
}

TEST(Link, HearsTheLatestOfAPartnerThatComesAndGoesWithoutEnd) {
    const Folder folder;
    End one{folder / "link"};
    const LinkSockets joined = *open_link(folder / "link");
    const int flags = ::fcntl(joined.peer.get(), F_GETFL);
    ASSERT_EQ(::fcntl(joined.peer.get(), F_SETFL, flags & ~O_NONBLOCK), 0);
    for (unsigned i = 0; i < 5001; ++i) { // nobody runs the control thread meanwhile
        LinkHeader header{};
        header.type = i % 2 == 0 ? LinkMessage::hello : LinkMessage::bye;
        ASSERT_EQ(::write(joined.peer.get(), &header, sizeof(header)), static_cast<ssize_t>(sizeof(header)));
    }
    LinkHeader frame{};
    std::vector<std::byte> message(sizeof(frame) + 60);
    std::memcpy(message.data(), &frame, sizeof(frame));
    ASSERT_EQ(::write(joined.peer.get(), message.data(), message.size()), static_cast<ssize_t>(message.size()));
    while (one.guest.rx.answered() == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1}); // then it has heard them all
    }
    one.guest.control.restart();
    EXPECT_LE(one.guest.control.poll(), 3u) << "handlers that wait for the control thread";
    EXPECT_EQ(one.guest.published["carrier"], "1");
}

TEST(Link, CutsNoMoreThanItSends) {
    const Folder folder;
    End one{folder / "link"};
    End other{folder / "link", [](NetGuest& guest) { guest.node("feature-gso-tcpv4", "0"); }};
    ASSERT_TRUE(one.carrier("1"));
    const std::size_t before = ::mallinfo2().uordblks;
    for (unsigned i = 0; i < 14; ++i) { // nearly a whole ring, to a guest that soon has no buffers left
        abi::netif_extra_info extra{};
        extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
        extra.u.gso.size = least_segment;
        extra.u.gso.type = abi::XEN_NETIF_GSO_TYPE_TCPV4;
        one.guest.put_frame(blank_frame(false, true, 65000), abi::NETTXF_csum_blank, extra);
    }
    one.guest.push_tx();
    std::size_t most = before;
    (void)eventually(
        one.guest.control,
        [&] {
            most = std::max<std::size_t>(most, ::mallinfo2().uordblks);
            return false;
        },
        std::chrono::milliseconds{300});
    EXPECT_LT(most - before, 4U << 20);
}

TEST(Link, DoesNotWaitForALockThatSomebodyKeeps) {
    const Folder folder;
    const UniqueFd lock{::open((folder / "link.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    const auto refused = open_link(folder / "link");
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("lock"), std::string::npos) << refused.error().message;
}

/// A process of another user's, which does `what` and says whether that came off.
bool as_somebody_else(const std::function<bool()>& what) {
    const pid_t child = ::fork();
    if (child == 0) {
        constexpr unsigned nobody = 65534;
        ::_exit(::setgid(nobody) == 0 && ::setuid(nobody) == 0 && what() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
}

TEST(Link, ConnectsToNobodyElses) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "takes root, to be somebody else";
    }
    const Folder folder;
    const std::string path = folder / "link";
    std::filesystem::permissions(std::filesystem::path{path}.parent_path(), std::filesystem::perms::all);
    const UniqueFd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    ASSERT_TRUE(as_somebody_else([&] {
        const sockaddr_un address = address_of(path);
        return ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
               ::listen(listener.get(), 1) == 0; // whose credentials count
    }));
    const auto refused = open_link(path);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("another user"), std::string::npos) << refused.error().message;
}

TEST(Link, TakesNobodyElse) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "takes root, to be somebody else";
    }
    const Folder folder;
    const std::string path = folder / "link";
    End one{path};
    std::filesystem::permissions(std::filesystem::path{path}.parent_path(), std::filesystem::perms::all);
    std::filesystem::permissions(path, std::filesystem::perms::all); // as the kernel would not let them in otherwise
    EXPECT_TRUE(as_somebody_else([&] {
        const UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
        const sockaddr_un address = address_of(path);
        char byte = 0;
        return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
               ::read(socket.get(), &byte, 1) <= 0; // not even a hello
    }));
    End other{path};
    EXPECT_TRUE(one.carrier("1")) << "the place is free";
}

TEST(Link, OpensOnlyWhatIsALink) {
    const Folder folder;
    const auto missing = open_link(folder / "no/such/link");
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.find("socket="), std::string::npos);
    const std::string file = folder / "file";
    std::FILE* const made = std::fopen(file.c_str(), "w");
    ASSERT_NE(made, nullptr);
    std::fclose(made);
    EXPECT_FALSE(open_link(file).ok());
    EXPECT_TRUE(std::filesystem::exists(file)); // not removed
}

} // namespace
} // namespace parapet::net::test
