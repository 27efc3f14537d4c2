// SPDX-License-Identifier: Apache-2.0
// Where a domain's console goes and comes from, as the user says it (ConsoleConfig) and as open descriptors.
#pragma once

#include "backends/console/private_fd.hpp"
#include "support/result.hpp"

#include <string>

namespace parapet::console {

struct ConsoleConfig {
    enum class Kind {
        stdio, ///< Output to `output_fd`, input from `input_fd`.
        none,  ///< Output discarded, no input.
        file,  ///< Output to `file` (created with the umask, else truncated), no input.
    };
    Kind kind = Kind::stdio;
    std::string file;
    bool append = false; ///< Keep what `file` holds: for a domain that starts again.
    int input_fd = 0;
    int output_fd = 1;
};

/// Open ends of a console. An invalid `in` gives no input, an invalid `out` discards.
struct ConsoleStreams {
    PrivateFd in;
    PrivateFd out;
    bool in_is_tty = false; ///< Ctrl-] leaves; input beyond the buffer is dropped instead of left unread.
    std::string out_name;   ///< For messages: "standard output" or the file's name.
};

Result<ConsoleStreams> open_console(const ConsoleConfig& config);

} // namespace parapet::console
