// SPDX-License-Identifier: Apache-2.0
// The helper's command line, which backends/nbd/spawn.cpp writes.
#pragma once

#include "support/result.hpp"

#include <chrono>
#include <string>

namespace parapet::nbd {

struct Settings {
    std::string uri;    ///< of a server, or:
    std::string image;  ///< absolute path, for a qemu-nbd of our own,
    std::string format; ///< in qemu's name of the format
    bool read_only = false;
    std::chrono::milliseconds patience{30000}; ///< how long requests wait for a server that went

    [[nodiscard]] const std::string& name() const { return uri.empty() ? image : uri; }
};

Result<Settings> parse_settings(int count, char** words);

} // namespace parapet::nbd
