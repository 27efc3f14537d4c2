// SPDX-License-Identifier: Apache-2.0
// What a disk or partition is that GRUB's reader finds no file system on: for the user, who expects one there.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <string>

namespace parapet::bootdisk {

/// "is swap space", "is ext4 with the feature large_dir, which GRUB's reader here does not know".
std::string describe_unread(DiskFiles& disk, const std::string& device);

/// A device of the reader in the user's words: "partition 2", "the whole disk", "the volume lvm/vg-root".
std::string device_text(const std::string& device);

} // namespace parapet::bootdisk
