// SPDX-License-Identifier: Apache-2.0
// Finding a volume by what boot configurations call it.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <optional>
#include <string_view>

namespace parapet::bootdisk {

/// GRUB's name of a device, without parentheses: "hd0,gpt1", "hd0,msdos1", "hd0,1", "hd0", "lvm/group-root". The disk
/// is always this disk. `legacy`: partitions count from 0.
std::optional<std::size_t> find_device(const std::vector<Volume>& volumes, std::string_view name, bool legacy = false);

std::optional<std::size_t> find_uuid(const std::vector<Volume>& volumes, std::string_view uuid);
std::optional<std::size_t> find_label(const std::vector<Volume>& volumes, std::string_view label);

/// The same, but a hard disk, logical volume or array that is not here stands for `otherwise`: an image of one
/// partition still speaks of the disk that it was cut from. Any other device, such as a loopback, is nowhere.
std::size_t volume_of(const std::vector<Volume>& volumes, std::string_view name, std::size_t otherwise,
                      bool legacy = false);

/// "(device)/path", or a path on `root`.
FilePlace place_of(const std::vector<Volume>& volumes, std::string_view text, std::size_t root, bool legacy = false);

/// What the user should see of text from an image: printable, and not endless.
std::string printable(std::string_view text, std::size_t longest = 200);

} // namespace parapet::bootdisk
