// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/socket_io.hpp"

#include "vmm/control/frame.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace parapet::vmm::control {

namespace {

constexpr std::size_t control_bytes = CMSG_SPACE(most_descriptors * sizeof(int));

struct Ancillary {
    alignas(cmsghdr) std::array<char, control_bytes> bytes{};
};

std::vector<UniqueFd> descriptors_in(msghdr& message) {
    std::vector<UniqueFd> found;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; i++) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            found.emplace_back(descriptor);
        }
    }
    return found;
}

} // namespace

Received receive_some(int socket, std::span<char> to) {
    Ancillary ancillary;
    iovec piece{to.data(), to.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.bytes.data();
    message.msg_controllen = ancillary.bytes.size();
    Received received;
    do {
        received.bytes = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received.bytes < 0 && errno == EINTR);
    if (received.bytes < 0) {
        received.error = errno;
        return received;
    }
    received.descriptors = descriptors_in(message);
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
        received.bytes = -1;
        received.error = EMSGSIZE;
    }
    return received;
}

Sent send_some(int socket, std::string_view bytes, std::span<const int> descriptors) {
    Ancillary ancillary;
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = ancillary.bytes.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
    }
    ssize_t count = 0;
    do {
        count = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? Sent{0, errno} : Sent{static_cast<std::size_t>(count), 0};
}

} // namespace parapet::vmm::control
