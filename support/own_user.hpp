// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a unix socket.
#pragma once

#include "support/confinement.hpp"

#include <sys/socket.h>
#include <sys/types.h>

namespace parapet {

/// `own`, or root. In a user namespace of our own (enter_empty_root()) all other users look alike, and count as root:
/// ask only about sockets whose name nobody else can connect to (mode 0600).
[[nodiscard]] inline bool is_own_user_or_root(int socket, uid_t own) {
    ucred peer{};
    socklen_t length = sizeof(peer);
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == own || peer.uid == 0 || (has_own_user_namespace() && peer.uid == unmapped_user));
}

} // namespace parapet
