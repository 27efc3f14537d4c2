// SPDX-License-Identifier: Apache-2.0
// parapet-nbd: the NBD client of one virtual disk, in a process of its own, since what it parses comes from a network.
// parapet starts it with a socket and a memory file (protocol.hpp); it lives as long as the other end of the socket.
#include "backends/nbd/helper/confine.hpp"
#include "backends/nbd/helper/relay.hpp"
#include "backends/nbd/helper/settings.hpp"
#include "support/unique_fd.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace {

using namespace parapet;
using namespace parapet::nbd;

/// Kept for as long as we live, over every qemu-nbd: of two domains only one may write, and none reads what one writes.
Result<UniqueFd> lock_image(const Settings& settings) {
    UniqueFd image{::open(settings.image.c_str(), (settings.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)};
    struct stat status {};
    if (!image.valid() || ::fstat(image.get(), &status) != 0) {
        return Error{"cannot open " + settings.image + " (" + std::strerror(errno) + ")" +
                     (errno == EACCES || errno == EROFS ? "; make it writable, or give the disk read-only" : "")};
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        return Error{settings.image + " is neither a file nor a block device; give a disk image"};
    }
    // Besides qemu's own locks (bytes from 100 on), and in conflict with a raw disk's, which has the whole file.
    struct flock range {};
    range.l_type = settings.read_only ? F_RDLCK : F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_len = 100;
    if (::fcntl(image.get(), F_OFD_SETLK, &range) != 0 && (errno == EAGAIN || errno == EACCES)) {
        return Error{settings.image + " is in use by another domain (locked); end that one first"};
    }
    return image;
}

/// The first connection: as long as it takes, but not for ever.
Result<std::unique_ptr<Session>> first_session(Server& server, int vmm) {
    auto begun = server.connect();
    if (!begun) {
        return Error{server.explain(begun.error().message)};
    }
    Session& session = **begun;
    for (int tenths = 0; !session.ready(); tenths++) {
        if (session.dead() || tenths == 150) {
            return Error{server.explain(session.dead() ? session.error() : "no answer")};
        }
        pollfd watched[3] = {session.wish(), server.wish(), {vmm, 0, 0}};
        (void)::poll(watched, 3, 100);
        if (watched[2].revents != 0) {
            return Error{"nobody waits for it"};
        }
        tenths -= watched[0].revents != 0 ? 1 : 0;
        session.serve(watched[0].revents);
        server.serve(watched[1].revents);
    }
    return begun;
}

Result<void> check(const Facts& facts, const Settings& settings) {
    if (facts.least_block > 4096 || !std::has_single_bit(facts.least_block)) {
        return Error{settings.name() + " demands blocks of " + std::to_string(facts.least_block) +
                     " bytes; a guest's disk has blocks of 512 or 4096"};
    }
    if (facts.most_data < 4096) {
        return Error{settings.name() + " takes less than 4096 bytes in a request, which is of no use"};
    }
    if (facts.bytes < 4096) {
        return Error{settings.name() + " is empty"};
    }
    if (facts.read_only && !settings.read_only) {
        return Error{settings.name() + " is read-only; attach it read-only (mode r)"};
    }
    return {};
}

Hello hello_of(const Facts& facts, bool read_only) {
    Hello hello;
    hello.flags = (read_only ? flag::read_only : 0) | (facts.flush || facts.fua ? flag::flush : 0) |
                  (facts.trim && !read_only ? flag::discard : 0) | (facts.zero && !read_only ? flag::write_zeroes : 0);
    hello.bytes = facts.bytes;
    hello.least_block = facts.least_block;
    hello.preferred_block = facts.preferred_block;
    hello.most_data = std::min(facts.most_data, slot_bytes);
    return hello;
}

Result<void> serve(const Settings& settings, VmmPort& port) {
    UniqueFd image;
    if (!settings.image.empty()) {
        auto locked = lock_image(settings);
        if (!locked) {
            return locked.error();
        }
        image = *std::move(locked);
    }
    void* const memory = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, helper_memory_fd, 0);
    if (memory == MAP_FAILED) {
        return Error{std::string{"the NBD helper cannot map its memory ("} + std::strerror(errno) + ")"};
    }
    if (auto confined = confine(settings); !confined) {
        return confined;
    }
    const auto server = settings.image.empty() ? remote_server(settings) : qemu_server(settings);
    auto session = first_session(*server, port.fd());
    if (!session) {
        return session.error();
    }
    const Facts facts = (*session)->facts();
    if (auto usable = check(facts, settings); !usable) {
        return usable;
    }
    port.say_hello(hello_of(facts, facts.read_only || settings.read_only));
    Relay{port, *server, *std::move(session), facts, static_cast<std::byte*>(memory), settings.patience}.run();
    return {};
}

} // namespace

int main(int count, char** words) {
    const auto settings = parse_settings(count, words);
    if (!settings) {
        (void)std::fprintf(stderr, "parapet-nbd: %s\n", settings.error().message.c_str());
        return 2;
    }
    (void)std::signal(SIGPIPE, SIG_IGN);
    // A name look-up blocks: not for long.
    (void)::setenv("RES_OPTIONS", "timeout:2 attempts:2", 0);
    VmmPort port{helper_socket_fd};
    if (const auto served = serve(*settings, port); !served) {
        port.say_hello(VmmPort::refusal(served.error().message));
        return 1;
    }
    return 0;
}
