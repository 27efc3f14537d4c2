// SPDX-License-Identifier: Apache-2.0
// The subvolumes of a btrfs, and which of them is mounted by default: GRUB's reader sees all of them below the top one
// and does not tell.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

struct Subvolumes {
    std::string default_path;       ///< "/@/.snapshots/12/snapshot"; empty: the top one
    std::vector<std::string> paths; ///< of all, but the top one
};

/// `device`: as the reader names it. Nothing: its trees cannot be read here (damage, striped or several devices).
std::optional<Subvolumes> read_subvolumes(DiskFiles& disk, const std::string& device);

} // namespace parapet::bootdisk
