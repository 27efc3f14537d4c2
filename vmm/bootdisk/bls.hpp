// SPDX-License-Identifier: Apache-2.0
// Boot Loader Specification, type 1: one file per kernel in loader/entries, as Fedora, RHEL and systemd-boot have it.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

/// A value for a variable that an entry of Fedora's may contain ($kernelopts, $tuned_params).
using VariableLookup = std::function<std::string(const std::string&)>;

/// The entries of FOLDER/*.conf, the newest version first, as GRUB and systemd-boot list them. Paths are on the
/// folder's volume.
std::vector<BootEntry> read_bls_entries(DiskFiles& disk, const FilePlace& folder, const VariableLookup& lookup);

/// One entry's file; `id` is its name without ".conf". An entry without a kernel has an empty kernel.path.
BootEntry parse_bls_entry(std::string_view text, std::string id, std::size_t volume, const VariableLookup& lookup);

/// Orders version texts as rpm does: digits by value, letters by alphabet, "~" before the end. Below, at or above 0.
int compare_versions(std::string_view a, std::string_view b);

/// systemd-boot's loader.conf: the pattern of the default entry, or nothing.
std::string default_of_loader_conf(std::string_view text);

} // namespace parapet::bootdisk
