// SPDX-License-Identifier: Apache-2.0
// Finds what a disk boots: looks for a configuration file where distributions have it, and takes the wanted or default
// entry from it.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <optional>
#include <string>

namespace parapet::bootdisk {

struct BootChoice {
    BootEntry entry;
    FilePlace config; ///< the file that says so
    std::string note; ///< one sentence for the user, or empty
};

/// `wanted`: an entry by title, id, number from 0, or several of these joined by ">" for nested menus, as GRUB's own
/// `default` has it; nothing: the default entry.
Result<BootChoice> choose_boot_entry(DiskFiles& disk, const std::optional<std::string>& wanted);

} // namespace parapet::bootdisk
