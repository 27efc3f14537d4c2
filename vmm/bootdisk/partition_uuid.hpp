// SPDX-License-Identifier: Apache-2.0
// What Linux calls PARTUUID: of an entry of a GPT, or disk signature and number of an MBR partition.
#pragma once

#include "vmm/bootdisk/disk_files.hpp"

#include <optional>
#include <string>

namespace parapet::bootdisk {

/// `device`: "loop0,gpt1" or "loop0,msdos1". Nothing: it is no partition, or its table cannot be read.
std::optional<std::string> partition_uuid(DiskFiles& disk, const std::string& device);

} // namespace parapet::bootdisk
