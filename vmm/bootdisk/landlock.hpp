// SPDX-License-Identifier: Apache-2.0
// Landlock (Linux 5.13): which files a process may still open.
#pragma once

#include <string>
#include <vector>

namespace parapet::bootdisk {

/// From now on this process and all that it starts can open only these files, and what is below these folders, and only
/// to read or execute; of "/" only the names below it. 0, also where the kernel has no Landlock; otherwise an errno.
int restrict_files(const std::vector<std::string>& readable);

/// Whether this kernel has it.
bool has_landlock();

} // namespace parapet::bootdisk
