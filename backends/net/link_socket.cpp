// SPDX-License-Identifier: Apache-2.0
#include "backends/net/link_socket.hpp"

#include "support/own_user.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

namespace parapet::net {

namespace {

constexpr int backlog = 1; // a cable has two ends
constexpr std::chrono::seconds longest_turn{5};

Error failed(const std::string& path, const std::string& what, int error, const std::string& remedy) {
    return Error{"socket=" + path + ": " + what + " (" + std::strerror(error) + "); " + remedy};
}

/// Two that come at the same time take turns: a lock, held for a moment. EWOULDBLOCK: somebody keeps it.
bool take_turn(int lock) {
    const auto end = std::chrono::steady_clock::now() + longest_turn;
    while (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return true;
}

} // namespace

Result<LinkSockets> open_link(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    const UniqueFd lock{::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!socket.valid() || !lock.valid() || !take_turn(lock.get())) {
        if (errno == EWOULDBLOCK) {
            return failed(path, "another process keeps the lock beside it", errno,
                          "end that one, or give another path");
        }
        return failed(path, "cannot be set up", errno, "give a path in a folder that you may write to");
    }
    // A partner whose places are all taken would let us wait.
    (void)::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
    LinkSockets link;
    if (::connect(socket.get(), name, sizeof(address)) == 0) {
        if (!is_own_user_or_root(socket.get(), ::geteuid())) {
            return failed(path, "another user listens there", EPERM,
                          "give a path in a folder that only you may write to");
        }
        (void)::fcntl(socket.get(), F_SETFL, 0);
        link.peer = std::move(socket);
        return link;
    }
    if (errno == EAGAIN) {
        return failed(path, "it links two domains already", errno, "give another path");
    }
    struct stat found {};
    if (errno == ECONNREFUSED && ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
        (void)::unlink(path.c_str()); // nobody listens any more
    } else if (errno != ENOENT) {
        return failed(path, "cannot connect to it", errno, "give the path of a link, or one where nothing is");
    }
    (void)::fcntl(socket.get(), F_SETFL, 0);
    const mode_t before = ::umask(0177);
    const int bound = ::bind(socket.get(), name, sizeof(address));
    const int error = errno;
    (void)::umask(before);
    if (bound != 0 || ::listen(socket.get(), backlog) != 0) {
        return failed(path, "cannot listen there", bound != 0 ? error : errno,
                      "give a path in a folder that you may write to");
    }
    link.listener = std::move(socket);
    return link;
}

} // namespace parapet::net
