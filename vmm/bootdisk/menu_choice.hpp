// SPDX-License-Identifier: Apache-2.0
// Taking one entry out of a menu, or out of a menu within one: the wanted one, or the default one and, where that
// cannot be used, what the menu names as its fallback and then whatever else it has.
#pragma once

#include "vmm/bootdisk/grub_script.hpp"
#include "vmm/bootdisk/other_configs.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

struct Chosen {
    BootEntry entry;
    std::string note; ///< what was passed over, or empty
};

/// Whether an entry's files are there; it may put their paths right. Its error is a sentence without a stop.
using EntryCheck = std::function<Result<void>(BootEntry&)>;

/// From a grub.cfg that has been run; its variables `default` and `fallback` count where nothing is wanted.
Result<Chosen> choose_from_grub(GrubScript& script, const std::optional<std::string>& wanted, const EntryCheck& usable);

/// What a menu offers, one line each: "1>0 'Debian GNU/Linux, with Linux 6.1'".
std::vector<std::string> offers_of(GrubScript& script);
std::vector<std::string> offers_of(const SimpleMenu& menu);

Result<Chosen> choose_from_simple(const SimpleMenu& menu, const std::optional<std::string>& wanted,
                                  const EntryCheck& usable);

} // namespace parapet::bootdisk
