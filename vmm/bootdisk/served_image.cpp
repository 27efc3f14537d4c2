// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/served_image.hpp"

#include "backends/nbd/protocol.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr std::uint64_t chunk_bytes = nbd::slot_bytes;
constexpr std::uint64_t max_bytes = 1ULL << 45;
constexpr std::uint64_t max_at_once = 64 << 20; ///< of one read
constexpr std::uint16_t slot = 0;

} // namespace

Result<ServedImage> ServedImage::open(const ServedDisk& disk) {
    if (disk.bytes > max_bytes || disk.max_read < 4096) {
        return Error{"it is larger than what can be looked into"};
    }
    void* const memory = mmap(nullptr, nbd::slot_bytes, PROT_READ, MAP_SHARED, disk.fds.memory, 0);
    if (memory == MAP_FAILED) {
        return Error{std::string{"it cannot be read: "} + std::strerror(errno)};
    }
    return ServedImage{disk, static_cast<const std::byte*>(memory)};
}

ServedImage::ServedImage(const ServedDisk& disk, const std::byte* memory)
    : disk_{disk}, memory_{memory}, there_((disk.bytes + chunk_bytes - 1) / chunk_bytes) {}

bool ServedImage::provide(std::uint64_t offset, std::uint64_t length) {
    if (offset >= disk_.bytes || length == 0) {
        return true;
    }
    length = std::min(length, disk_.bytes - offset);
    if (length > max_at_once) {
        return false;
    }
    const std::uint64_t end = offset + length;
    for (std::uint64_t chunk = offset / chunk_bytes; chunk * chunk_bytes < end; chunk++) {
        if (!there_[chunk]) {
            there_[chunk] = fetch(chunk);
            if (!there_[chunk]) {
                return false;
            }
        }
    }
    return true;
}

/// Through a mapping: what is written to files is limited (confinement.hpp), and the file may be larger.
bool ServedImage::fetch(std::uint64_t chunk) {
    const std::uint64_t offset = chunk * chunk_bytes;
    const std::uint64_t length = std::min(chunk_bytes, disk_.bytes - offset);
    void* const window =
        mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, disk_.fds.file, static_cast<off_t>(offset));
    if (window == MAP_FAILED) {
        return false;
    }
    bool done = true;
    const std::uint64_t part = std::min<std::uint64_t>(disk_.max_read & ~4095U, chunk_bytes);
    for (std::uint64_t at = 0; done && at < length; at += part) {
        const auto size = static_cast<std::uint32_t>(std::min(part, length - at));
        done = ask(offset + at, size);
        if (done) {
            std::memcpy(static_cast<std::byte*>(window) + at, memory_, size);
        }
    }
    munmap(window, length);
    return done;
}

bool ServedImage::ask(std::uint64_t offset, std::uint32_t length) const {
    nbd::RequestMessage message;
    message.header.count = 1;
    message.entries[0] = {slot, nbd::Op::read, 0, length, offset};
    const std::size_t size = nbd::message_bytes<nbd::RequestMessage>(1);
    if (send(disk_.fds.socket, &message, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
        return false;
    }
    nbd::CompletionMessage answer;
    for (;;) {
        const ssize_t got = recv(disk_.fds.socket, &answer, sizeof answer, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < static_cast<ssize_t>(sizeof(nbd::Header))) {
            return false;
        }
        if (answer.header.kind == nbd::Kind::event) {
            continue; // the server went or came back: the request waits for it, and our parent for us, but not long
        }
        return answer.header.kind == nbd::Kind::completions && answer.header.count == 1 &&
               got == static_cast<ssize_t>(nbd::message_bytes<nbd::CompletionMessage>(1)) &&
               answer.entries[0].slot == slot && answer.entries[0].result == 0;
    }
}

int watch_own_reads() {
    constexpr auto number = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
    constexpr auto architecture = static_cast<std::uint32_t>(offsetof(seccomp_data, arch));
    std::array<sock_filter, 9> code{
        {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, architecture), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pread64, 3, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 2, 0),
         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)}};
    const sock_fprog program{code.size(), code.data()};
    return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

void ReadWatch::serve() {
    // Later kernels may have more to say than this one's header knows.
    alignas(seccomp_notif) std::array<std::byte, 512> asked{};
    alignas(seccomp_notif_resp) std::array<std::byte, 512> answer{};
    if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, asked.data()) != 0) {
        return; // it was killed meanwhile
    }
    seccomp_notif call;
    std::memcpy(&call, asked.data(), sizeof call);
    std::array<std::uint64_t, 6> arguments{};
    std::copy(std::begin(call.data.args), std::end(call.data.args), arguments.begin());
    seccomp_notif_resp response{};
    response.id = call.id;
    if (provide_for(call.data.nr, arguments.data())) {
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        response.error = -EIO;
    }
    std::memcpy(answer.data(), &response, sizeof response);
    (void)ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, answer.data());
}

bool ReadWatch::provide_for(int call, const std::uint64_t* arguments) {
    const std::uint64_t fd = arguments[0];
    switch (call) {
    case SYS_close:
        positions_.erase(fd);
        return true;
    case SYS_lseek:
        if (arguments[2] == SEEK_SET) {
            positions_[fd] = arguments[1];
        }
        return true;
    case SYS_pread64:
        return image_.provide(arguments[3], arguments[2]);
    default: {
        std::uint64_t& position = positions_[fd];
        const bool there = image_.provide(position, arguments[2]);
        position += arguments[2];
        return there;
    }
    }
}

} // namespace parapet::bootdisk
