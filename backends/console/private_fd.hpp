// SPDX-License-Identifier: Apache-2.0
// A non-blocking descriptor of our own for a stream that other processes share with us (the shell's terminal, a pipe).
// O_NONBLOCK belongs to the open file description, so setting it on stdin would also change it for the shell: the
// stream is opened again where the kernel lets us, else the flag is put back on destruction.
#pragma once

#include "support/result.hpp"

namespace parapet::console {

class PrivateFd {
public:
    enum class Direction { read, write };

    PrivateFd() = default;
    PrivateFd(PrivateFd&& other) noexcept;
    PrivateFd& operator=(PrivateFd&& other) noexcept;
    ~PrivateFd();

    /// A descriptor of its own for what `fd` refers to; `fd` stays the caller's.
    static Result<PrivateFd> reopen(int fd, Direction direction);

    /// Takes over `fd`, which nobody else uses, and makes it non-blocking.
    static PrivateFd adopt(int fd);

    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    [[nodiscard]] int get() const { return fd_; }
    /// False for files and the like, which are always ready and which epoll refuses.
    [[nodiscard]] bool pollable() const { return pollable_; }

private:
    explicit PrivateFd(int fd);
    void reset();

    int fd_ = -1;
    int flags_to_restore_ = -1;
    bool pollable_ = true;
};

} // namespace parapet::console
