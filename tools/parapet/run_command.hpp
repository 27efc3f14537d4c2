// SPDX-License-Identifier: Apache-2.0
// `parapet run` whole: the domain's name and control socket, perhaps the background, and the domain itself.
#pragma once

#include "tools/parapet/options.hpp"

namespace parapet::cli {

/// Returns the exit status; with --detach in two processes.
int run_command(const RunOptions& options);

} // namespace parapet::cli
