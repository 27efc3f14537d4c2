// SPDX-License-Identifier: Apache-2.0
// Boot Loader Specification (UAPI group, UAPI.1): entries of type 1, one file per kernel in loader/entries, as Fedora,
// RHEL and systemd-boot have it; and the order and the ids of entries of both types.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

/// A value for a variable that an entry of Fedora's may contain ($kernelopts, $tuned_params).
using VariableLookup = std::function<std::string(const std::string&)>;

/// Counts boots that have not been found good: "+LEFT-DONE" at the end of an entry's file name, "+LEFT" at first.
struct BootCounter {
    unsigned left = 0, done = 0;
};

struct BlsEntry {
    BootEntry boot; ///< the id is the file's name without counter and suffix
    std::string version{}, sort_key{}, machine_id{};
    std::optional<BootCounter> counter{}; ///< nothing: the entry is good, or nobody counts
    std::string image{};                  ///< an EFI program instead of a kernel, perhaps a unified kernel image
    bool is_foreign = false;              ///< of another architecture
};

/// Takes the counter off the end of a name without suffix.
std::optional<BootCounter> take_counter(std::string& name);

/// Whether `a` stands before `b` in a menu: exhausted entries last, then by sort key, machine and falling version where
/// there is a sort key, then by falling id.
bool comes_before(const BlsEntry& a, const BlsEntry& b);

/// The entries of FOLDER/*.conf in no order, without those of other architectures. Paths are on the folder's volume.
std::vector<BlsEntry> read_bls_entries(DiskFiles& disk, const FilePlace& folder, const VariableLookup& lookup);

/// In the order of the menu.
std::vector<BootEntry> in_order(std::vector<BlsEntry> entries);

/// One entry's file, called `name` without ".conf".
BlsEntry parse_bls_entry(std::string_view text, std::string name, std::size_t volume, const VariableLookup& lookup);

/// systemd-boot's loader.conf: the pattern of the default entry, or nothing.
std::string default_of_loader_conf(std::string_view text);

} // namespace parapet::bootdisk
