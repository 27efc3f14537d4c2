// SPDX-License-Identifier: Apache-2.0
// Unified kernel images (UAPI group, UAPI.5): EFI programs that carry kernel, initrd and command line as sections of a
// PE file. Entries of type 2 of the Boot Loader Specification.
#pragma once

#include "vmm/bootdisk/bls.hpp"
#include "vmm/bootdisk/disk_files.hpp"

#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

/// What the image boots by itself, with its first profile. Nothing: it is no unified kernel image for this
/// architecture. Id, version and sort key as systemd-boot makes them of the file's name and .osrel.
std::optional<BlsEntry> read_unified_image(DiskFiles& disk, const FilePlace& image);

/// All of a folder, usually /EFI/Linux; in no order.
std::vector<BlsEntry> read_unified_images(DiskFiles& disk, const FilePlace& folder);

} // namespace parapet::bootdisk
