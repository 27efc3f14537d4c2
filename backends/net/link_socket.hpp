// SPDX-License-Identifier: Apache-2.0
// A cable between two domains: an AF_UNIX SOCK_SEQPACKET socket at a path that both name. The first to come listens,
// the second connects.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <string>

namespace parapet::net {

/// Exactly one of the two is valid.
struct LinkSockets {
    UniqueFd listener; ///< nobody was there
    UniqueFd peer;     ///< connected
};

Result<LinkSockets> open_link(const std::string& path);

} // namespace parapet::net
