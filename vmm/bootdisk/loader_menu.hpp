// SPDX-License-Identifier: Apache-2.0
// The menu of a boot loader that obeys the Boot Loader Specification and has no configuration language, as
// systemd-boot.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"
#include "vmm/bootdisk/other_configs.hpp"

#include <string>

namespace parapet::bootdisk {

inline constexpr const char* loader_entries_folder = "/loader/entries";
inline constexpr const char* unified_images_folder = "/EFI/Linux";

/// Entries of both types below the folder `above` ("" or "/boot") of all volumes: the specification joins those of the
/// EFI system partition and of an extended boot partition. The default is loader.conf's, or else GRUB's saved_entry.
SimpleMenu read_loader_menu(DiskFiles& disk, const std::string& above);

} // namespace parapet::bootdisk
