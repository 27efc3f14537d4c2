// SPDX-License-Identifier: Apache-2.0
// Taking one entry out of a menu, or out of a menu within one.
#pragma once

#include "vmm/bootdisk/grub_script.hpp"
#include "vmm/bootdisk/other_configs.hpp"

#include <optional>
#include <string>

namespace parapet::bootdisk {

struct Chosen {
    BootEntry entry;
    std::string note; ///< one sentence, or empty
};

/// From a grub.cfg that has been run; its `default` variable counts where nothing is wanted.
Result<Chosen> choose_from_grub(GrubScript& script, const std::optional<std::string>& wanted);

Result<Chosen> choose_from_simple(const SimpleMenu& menu, const std::optional<std::string>& wanted);

} // namespace parapet::bootdisk
