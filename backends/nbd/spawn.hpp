// SPDX-License-Identifier: Apache-2.0
// Starts the NBD helper of one disk and waits for its first word.
#pragma once

#include "backends/nbd/channel.hpp"
#include "support/result.hpp"

#include <chrono>
#include <string>

namespace parapet::nbd {

struct NbdOptions {
    std::string uri;    ///< of an NBD server, or:
    std::string image;  ///< path of a local image,
    std::string format; ///< in xl's or qemu's name: "qcow2", "vhd", ...
    bool read_only = false;
    /// How long a request waits for a server that is gone, before it fails.
    std::chrono::milliseconds patience{30000};
};

/// Before the process is confined. The helper is nobody's child and of a session of its own: it ends when the socket
/// does, not by the terminal's Ctrl-C. $PARAPET_NBD names it, or it stands beside this program.
Result<Connection> start_helper(const NbdOptions& options);

} // namespace parapet::nbd
