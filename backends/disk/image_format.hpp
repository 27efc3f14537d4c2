// SPDX-License-Identifier: Apache-2.0
// Tells by its first and last bytes what kind of image a file is, to keep a qcow2 file from being served as raw.
#pragma once

#include "backends/disk/disk_spec.hpp"

#include <optional>

namespace parapet::disk {

/// Nothing: no header that we know (raw, most likely, or unreadable).
std::optional<Format> detect_format(int fd);

} // namespace parapet::disk
