// SPDX-License-Identifier: Apache-2.0
// The confined process: finds and copies what a disk boots, and reports.
#pragma once

#include <optional>
#include <string>

namespace parapet::bootdisk {

struct FinderTask {
    std::string image; ///< an absolute path
    std::optional<std::string> entry;
    int report_fd, kernel_fd, initrd_fd;
};

/// Of a report: either "error" and a sentence without the image's name; or "found", title, config, kernel path, command
/// line, note, and the initrds' paths.
[[noreturn]] void run_finder(const FinderTask& task);

} // namespace parapet::bootdisk
