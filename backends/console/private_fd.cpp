// SPDX-License-Identifier: Apache-2.0
// Reopening through /proc/self/fd, with the fallback.
#include "backends/console/private_fd.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace parapet::console {
namespace {

bool epoll_takes(int fd) {
    const int probe = epoll_create1(EPOLL_CLOEXEC);
    if (probe < 0) {
        return true;
    }
    epoll_event event{};
    const bool refused = epoll_ctl(probe, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EPERM;
    close(probe);
    return !refused;
}

/// Files keep their offset and flags in the description (`>>log`), and never return EAGAIN: a duplicate is right.
bool worth_reopening(int fd) {
    struct stat info {};
    return fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode));
}

Error describe(int fd) {
    return Error{"descriptor " + std::to_string(fd) + " cannot be used for the console: " + std::strerror(errno)};
}

} // namespace

PrivateFd::PrivateFd(int fd) : fd_{fd}, pollable_{epoll_takes(fd)} {}

PrivateFd::PrivateFd(PrivateFd&& other) noexcept {
    *this = std::move(other);
}

PrivateFd& PrivateFd::operator=(PrivateFd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = std::exchange(other.fd_, -1);
        flags_to_restore_ = std::exchange(other.flags_to_restore_, -1);
        pollable_ = other.pollable_;
    }
    return *this;
}

PrivateFd::~PrivateFd() {
    reset();
}

void PrivateFd::reset() {
    if (fd_ < 0) {
        return;
    }
    if (flags_to_restore_ >= 0) {
        fcntl(fd_, F_SETFL, flags_to_restore_);
    }
    close(fd_);
    fd_ = -1;
    flags_to_restore_ = -1;
}

Result<PrivateFd> PrivateFd::reopen(int fd, Direction direction) {
    if (fcntl(fd, F_GETFD) < 0) {
        return describe(fd);
    }
    if (worth_reopening(fd)) {
        const int access = direction == Direction::read ? O_RDONLY : O_WRONLY;
        const std::string path = "/proc/self/fd/" + std::to_string(fd);
        const int own = open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0) {
            return PrivateFd{own};
        }
        if (errno == ENXIO || errno == EIO) { // nobody at the other end any more
            return describe(fd);
        }
    }
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0) {
        return describe(fd);
    }
    PrivateFd result{own};
    if (result.pollable_) {
        const int flags = fcntl(own, F_GETFL);
        if (flags >= 0 && (flags & O_NONBLOCK) == 0 && fcntl(own, F_SETFL, flags | O_NONBLOCK) == 0) {
            result.flags_to_restore_ = flags;
        }
    }
    return result;
}

PrivateFd PrivateFd::adopt(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    return PrivateFd{fd};
}

} // namespace parapet::console
