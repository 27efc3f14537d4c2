// SPDX-License-Identifier: Apache-2.0
// `parapet run --disk IMAGE` without a kernel: the one that the image boots.
#pragma once

#include "tools/parapet/options.hpp"

#include <optional>

namespace parapet::cli {

/// Where no kernel is named: fills in kernel, initrds and command line from the first of `boot_disks` that boots. Adds
/// `append` in any case. Call it once, before any thread is started. What the user should know goes to standard error.
[[nodiscard]] Result<void> complete_boot_options(RunOptions& options);

/// What the disk boots the second time, where that is something else: kernel, initrds and command line of all reboots.
[[nodiscard]] std::optional<RunOptions> options_after_reboot(const RunOptions& options);

/// Before a first reboot: takes these, if there are any, and says so.
void reboot_options(RunOptions& options);

/// `parapet boot-files`.
int show_boot_files(const RunOptions& options);

} // namespace parapet::cli
