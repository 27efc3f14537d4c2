// SPDX-License-Identifier: Apache-2.0
#include "backends/io/restricted_ring.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace parapet::io {

namespace {

/// On descriptors that are open already.
constexpr io_uring_op operations[] = {
    IORING_OP_NOP,         IORING_OP_READV,        IORING_OP_WRITEV,  IORING_OP_READ,           IORING_OP_WRITE,
    IORING_OP_READ_FIXED,  IORING_OP_WRITE_FIXED,  IORING_OP_FSYNC,   IORING_OP_FALLOCATE,      IORING_OP_POLL_ADD,
    IORING_OP_POLL_REMOVE, IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE, IORING_OP_SENDMSG,
    IORING_OP_RECVMSG,     IORING_OP_SEND,         IORING_OP_RECV,    IORING_OP_ACCEPT,         IORING_OP_SHUTDOWN};

// The newest first: completions run when the thread waits for them, without interrupting it.
constexpr unsigned setups[] = {
    IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, // Linux 6.1
    IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN,                               // 5.19
    IORING_SETUP_R_DISABLED,                                                           // 5.10
};

Error unavailable(int error) {
    if (error == EPERM) {
        return Error{
            "this host does not let the process use io_uring (sysctl kernel.io_uring_disabled, or a container's "
            "seccomp profile); allow it"};
    }
    return Error{std::string{"cannot set up an io_uring ("} + std::strerror(error) +
                 "); it takes Linux 5.13 or later, and free locked memory (ulimit -l)"};
}

int restrict(io_uring& ring) {
    std::vector<io_uring_restriction> rules;
    for (const io_uring_op operation : operations) {
        io_uring_restriction rule{};
        rule.opcode = IORING_RESTRICTION_SQE_OP;
        rule.sqe_op = operation;
        rules.push_back(rule);
    }
    for (const unsigned call : {IORING_REGISTER_BUFFERS_UPDATE, IORING_REGISTER_ENABLE_RINGS}) {
        io_uring_restriction rule{};
        rule.opcode = IORING_RESTRICTION_REGISTER_OP;
        rule.register_op = static_cast<std::uint8_t>(call);
        rules.push_back(rule);
    }
    io_uring_restriction flags{};
    flags.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    flags.sqe_flags = IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC;
    rules.push_back(flags);
    // Debian 12's shared liburing 2.3 lacks io_uring_register_restrictions().
    return io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_REGISTER_RESTRICTIONS, rules.data(),
                             static_cast<unsigned>(rules.size()));
}

} // namespace

Result<std::unique_ptr<RestrictedRing>> RestrictedRing::create(unsigned entries) {
    std::unique_ptr<RestrictedRing> made{new RestrictedRing};
    int error = -EINVAL;
    for (const unsigned setup : setups) {
        io_uring_params parameters{};
        parameters.flags = setup | IORING_SETUP_CQSIZE;
        parameters.cq_entries = entries * 4;
        error = io_uring_queue_init_params(entries, &made->ring_, &parameters);
        if (error != -EINVAL) {
            break;
        }
    }
    if (error < 0) {
        return unavailable(-error);
    }
    made->made_ = true;
    (void)io_uring_register_buffers_sparse(&made->ring_, max_buffers); // without: no registered memory (before 5.19)
    if (const int refused = restrict(made->ring_); refused < 0) {
        return unavailable(-refused);
    }
    return made;
}

} // namespace parapet::io
