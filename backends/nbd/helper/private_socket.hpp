// SPDX-License-Identifier: Apache-2.0
// A listening unix socket that nobody but us can ever connect to.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

namespace parapet::nbd {

struct PrivateSocket {
    UniqueFd listening; ///< for the server to accept from
    UniqueFd connected; ///< our end of the one connection, which waits in its queue
};

/// The socket's name is gone from the file system when this returns: nothing is left behind however we end.
Result<PrivateSocket> make_private_socket();

} // namespace parapet::nbd
