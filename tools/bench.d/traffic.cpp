// SPDX-License-Identifier: Apache-2.0
// The traffic of tools/bench net: TCP streams and request-response round trips. The guest is the client.
//   traffic serve PORT                    the host's end: serves clients one after the other
//   traffic ADDRESS PORT NAME:WHAT...     WHAT: send (client to server), receive, or trip (one byte there and back)
// The client says for each, after a short warm-up, when the time that counts begins and ends:
//   traffic: begin NAME
//   traffic: end NAME count <bytes or round trips> ns <nanoseconds>
// Environment: LOAD_MS (2500) and LOAD_WARMUP_MS (300).
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

namespace {

std::array<char, 256 * 1024> buffer;

std::int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void fail(const char* what) {
    std::printf("traffic: failed: %s: %s\n", what, std::strerror(errno));
    std::fflush(stdout);
    std::_Exit(1);
}

void say(const std::string& what) {
    std::printf("traffic: %s\n", what.c_str());
    std::fflush(stdout);
}

std::int64_t milliseconds(const char* name, std::int64_t otherwise) {
    const char* text = std::getenv(name);
    return (text != nullptr ? std::strtoll(text, nullptr, 10) : otherwise) * 1'000'000;
}

void no_delay(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/// One turn of a client or server; how much of its unit was done, 0 when the peer has gone.
std::uint64_t send_some(int fd) {
    const ssize_t count = send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL);
    return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}
std::uint64_t receive_some(int fd) {
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}
std::uint64_t round_trip(int fd) {
    return send(fd, buffer.data(), 1, MSG_NOSIGNAL) == 1 && recv(fd, buffer.data(), 1, 0) == 1 ? 1 : 0;
}
std::uint64_t answer(int fd) {
    return recv(fd, buffer.data(), 1, 0) == 1 && send(fd, buffer.data(), 1, MSG_NOSIGNAL) == 1 ? 1 : 0;
}

int serve(std::uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(listener, 4) != 0) {
        fail("listen");
    }
    say("serving");
    for (;;) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) {
            continue;
        }
        no_delay(client);
        char what = 0;
        if (recv(client, &what, 1, 0) == 1) {
            while ((what == 's' ? receive_some(client) : what == 'r' ? send_some(client) : answer(client)) != 0) {
            }
        }
        close(client);
    }
}

void run(const sockaddr_in& address, const std::string& name, std::string_view what) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int tries = 0; // the link may need a moment
    while (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        if (++tries == 50) {
            fail("connect");
        }
        usleep(100'000);
    }
    no_delay(fd);
    auto* const turn = what == "send" ? send_some : what == "receive" ? receive_some : round_trip;
    if (send(fd, what.data(), 1, MSG_NOSIGNAL) != 1) {
        fail("send");
    }
    std::int64_t now = now_ns();
    const std::int64_t begin = now + milliseconds("LOAD_WARMUP_MS", 300);
    while ((now = now_ns()) < begin) {
        if (turn(fd) == 0) {
            fail(name.c_str());
        }
    }
    say("begin " + name);
    std::uint64_t count = 0;
    const std::int64_t start = now_ns(), end = start + milliseconds("LOAD_MS", 2500);
    while ((now = now_ns()) < end) {
        const std::uint64_t part = turn(fd);
        if (part == 0) {
            fail(name.c_str());
        }
        count += part;
    }
    say("end " + name + " count " + std::to_string(count) + " ns " + std::to_string(now - start));
    close(fd);
}

} // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && std::string_view{argv[1]} == "serve") {
        return serve(static_cast<std::uint16_t>(std::atoi(argv[2])));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (argc < 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        std::fprintf(stderr, "usage: traffic serve PORT | traffic ADDRESS PORT NAME:send|receive|trip...\n");
        return 2;
    }
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[2])));
    for (int i = 3; i < argc; i++) {
        const std::string text = argv[i];
        const std::size_t colon = text.find(':');
        if (colon == std::string::npos) {
            errno = EINVAL;
            fail(argv[i]);
        }
        run(address, text.substr(0, colon), std::string_view{text}.substr(colon + 1));
    }
    return 0;
}
