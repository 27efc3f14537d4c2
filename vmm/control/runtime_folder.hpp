// SPDX-License-Identifier: Apache-2.0
// Where the control sockets of a user's domains are:
//
//   $PARAPET_RUN              alone, if it is set
//   /run/parapet              root's
//   $XDG_RUNTIME_DIR/parapet  if that is the user's own
//   /run/user/UID/parapet     the same without a login session
//   /tmp/parapet-UID          where there is nothing better
//
// A domain uses the first that can be had; who looks for a domain looks into all.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <string>
#include <vector>

namespace parapet::vmm::control {

/// The folders above for this process's user and environment, best first; they need not exist.
[[nodiscard]] std::vector<std::string> runtime_folders();

struct RuntimeFolder {
    std::string path;
    UniqueFd descriptor;
};

/// Opens one of them: it must be the user's own, and nobody else may write to it.
[[nodiscard]] Result<RuntimeFolder> open_runtime_folder(const std::string& path);
/// As above; made if it does not exist.
[[nodiscard]] Result<RuntimeFolder> make_runtime_folder(const std::string& path);

} // namespace parapet::vmm::control
