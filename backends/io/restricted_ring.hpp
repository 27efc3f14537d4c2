// SPDX-License-Identifier: Apache-2.0
// An io_uring that can do what the data path needs and nothing else. io_uring works on behalf of a process past its
// seccomp filter, so an unrestricted ring would let a process that was taken over open files or make connections.
#pragma once

#include "support/result.hpp"

#include <liburing.h>
#include <memory>

namespace parapet::io {

class RestrictedRing {
public:
    /// The ring is disabled until enable(); buffers to register: `max_buffers`, all empty.
    static constexpr unsigned max_buffers = 16384;
    static Result<std::unique_ptr<RestrictedRing>> create(unsigned entries);
    ~RestrictedRing() {
        if (made_) {
            io_uring_queue_exit(&ring_);
        }
    }
    RestrictedRing(const RestrictedRing&) = delete;
    RestrictedRing& operator=(const RestrictedRing&) = delete;

    /// From the one thread that will use it.
    void enable() {
        (void)io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    }
    [[nodiscard]] io_uring* ring() { return &ring_; }

private:
    RestrictedRing() = default;
    io_uring ring_{};
    bool made_ = false;
};

} // namespace parapet::io
