// SPDX-License-Identifier: Apache-2.0
// What the helper gives up before it listens to a server that may be anybody's.
#pragma once

#include "support/result.hpp"

namespace parapet::nbd {

/// No new privileges, no core dumps, no debuggers; with `remote` also no writing and no executing of any file, and no
/// new processes. What this host's kernel cannot enforce is left out.
Result<void> confine(bool remote);

} // namespace parapet::nbd
