// SPDX-License-Identifier: Apache-2.0
// Configurations without a language: GRUB Legacy's menu.lst (also what pygrub reads in PV images), extlinux/syslinux.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

struct SimpleMenu {
    std::vector<BootEntry> entries;
    std::string default_entry{};          ///< a number or an id; empty: the first
    std::vector<std::string> fallbacks{}; ///< what the menu names for when that cannot be used
};

/// `config`: where the text stands; paths without a device are on its volume.
SimpleMenu parse_legacy_grub(std::string_view text, const FilePlace& config, const std::vector<Volume>& volumes);
/// Reads what the text includes.
SimpleMenu parse_extlinux(DiskFiles& disk, std::string_view text, const FilePlace& config);

} // namespace parapet::bootdisk
