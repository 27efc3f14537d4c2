// SPDX-License-Identifier: Apache-2.0
// What the helper gives up before it listens to a server that may be anybody's.
#pragma once

#include "backends/nbd/helper/settings.hpp"
#include "support/result.hpp"

namespace parapet::nbd {

/// No capabilities (root keeps the one that it takes to open an image of somebody else's), no new privileges, no core
/// dumps, no debuggers. Of a remote disk also: no writing and no executing of any file, and only the system calls of a
/// client (seccomp). Beside a qemu-nbd, which inherits it, a list of calls that are refused. Landlock is left out where
/// this host's kernel has none.
Result<void> confine(const Settings& settings);

/// For a qemu-nbd, which may be fed a malicious image: of all files it may change only those in the image's folder (an
/// image may have several parts). Between fork and exec.
void confine_to_folder(const char* folder);

} // namespace parapet::nbd
