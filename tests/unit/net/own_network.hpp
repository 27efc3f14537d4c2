// SPDX-License-Identifier: Apache-2.0
// A network namespace of the test's own, with nothing in it but loopback.
#pragma once

#include <cstring>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace parapet::net::test {

inline void write_file(const char* path, const std::string& text) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!::write(fd, text.data(), text.size());
        ::close(fd);
    }
}

/// For this thread and those that it makes. False: this host does not let us.
inline bool enter_own_network() {
    const std::string uid = std::to_string(::geteuid()), gid = std::to_string(::getegid());
    if (::unshare(CLONE_NEWNET) != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            return false;
        }
        write_file("/proc/self/uid_map", "0 " + uid + " 1");
        write_file("/proc/self/setgroups", "deny");
        write_file("/proc/self/gid_map", "0 " + gid + " 1");
    }
    // No neighbour discovery among the test's frames.
    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    const bool up = ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
    ::close(socket);
    return up;
}

} // namespace parapet::net::test
