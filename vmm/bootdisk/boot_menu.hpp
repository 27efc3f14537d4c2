// SPDX-License-Identifier: Apache-2.0
// Finds what a disk boots: looks for a configuration file where distributions have it, and takes the wanted or default
// entry from it.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"
#include "vmm/bootdisk/menu_choice.hpp"

#include <optional>
#include <string>

namespace parapet::bootdisk {

struct BootChoice {
    BootEntry entry;
    FilePlace config; ///< the file that says so
    std::string note; ///< for the user, or empty
    /// What a reboot starts where that is something else: after `grub-reboot`, or where the configuration notes in its
    /// environment block that a first try has been made.
    std::optional<BootEntry> next;
    std::vector<std::string> offers; ///< all entries of its menu, for showing
};

/// `wanted`: an entry by title, id, number from 0, or several of these joined by ">" for nested menus, as GRUB's own
/// `default` has it; nothing: the default entry, or the next that can be used. `usable`: looks whether its files are
/// there.
Result<BootChoice> choose_boot_entry(
    DiskFiles& disk, const std::optional<std::string>& wanted,
    const EntryCheck& usable = [](BootEntry&) { return Result<void>{}; });

} // namespace parapet::bootdisk
