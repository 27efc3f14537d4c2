// SPDX-License-Identifier: Apache-2.0
// Landlock (Linux 5.13): which files the reader of a disk image may still open. By support/landlock.hpp.
#pragma once

#include <string>
#include <vector>

namespace parapet::bootdisk {

/// From now on this process and all that it starts can open only these files, and what is below these folders, to read;
/// execute only the latter; and see names below "/". 0, also where the kernel has no Landlock; otherwise an errno.
int restrict_files(const std::vector<std::string>& readable, const std::vector<std::string>& executable);

/// Whether this kernel has it.
bool has_landlock();

} // namespace parapet::bootdisk
