// SPDX-License-Identifier: Apache-2.0
// The confined process: finds and copies what a disk boots, and reports.
#pragma once

#include "vmm/bootdisk/served_image.hpp"

#include <optional>
#include <string>

namespace parapet::bootdisk {

/// Memory files, written to from their beginning.
struct EntryFds {
    int kernel, initrd;
};

struct FinderTask {
    std::string image; ///< an absolute path
    std::optional<std::string> entry;
    int report_fd;
    EntryFds files, next_files;
    ServedDisk served; ///< where `image` is only a sparse file for it
};

/// Of a report: either "error" and a sentence without the image's name; or "found", config, note, the number
/// of offers and these, and one or two entries (to start with, and after a reboot): title, kernel path, command line,
/// number of initrds and their paths.
[[noreturn]] void run_finder(const FinderTask& task);

} // namespace parapet::bootdisk
