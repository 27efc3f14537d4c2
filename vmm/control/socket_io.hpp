// SPDX-License-Identifier: Apache-2.0
// Bytes and descriptors over a UNIX stream socket, without ever waiting.
#pragma once

#include "support/unique_fd.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace parapet::vmm::control {

struct Received {
    ssize_t bytes = 0; ///< 0: the peer has closed; -1: see `error`
    int error = 0;     ///< errno; EAGAIN: nothing there
    std::vector<UniqueFd> descriptors;
};

/// Descriptors come with close-on-exec. If the peer sends more than we take, the error is EMSGSIZE.
[[nodiscard]] Received receive_some(int socket, std::span<char> to);

struct Sent {
    std::size_t bytes = 0;
    int error = 0; ///< errno; EAGAIN: the peer does not read
};

/// Sends as much of `bytes` as fits now, `descriptors` with its first byte. No SIGPIPE.
[[nodiscard]] Sent send_some(int socket, std::string_view bytes, std::span<const int> descriptors = {});

} // namespace parapet::vmm::control
