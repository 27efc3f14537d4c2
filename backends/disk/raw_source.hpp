// SPDX-License-Identifier: Apache-2.0
// Raw images as a kind of target.
#pragma once

#include "backends/disk/target_source.hpp"

namespace parapet::disk {

TargetKind raw_kind();

} // namespace parapet::disk
