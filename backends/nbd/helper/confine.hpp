// SPDX-License-Identifier: Apache-2.0
// What the helper gives up before it listens to a server that may be anybody's.
#pragma once

#include "support/result.hpp"

namespace parapet::nbd {

/// No new privileges, no core dumps, no debuggers; with `remote` also no writing and no executing of any file, and no
/// new processes. What this host's kernel cannot enforce is left out.
Result<void> confine(bool remote);

/// For a qemu-nbd, which may be fed a malicious image: of all files it may change only those in the image's folder (an
/// image may have several parts). Between fork and exec.
void confine_to_folder(const char* folder);

} // namespace parapet::nbd
