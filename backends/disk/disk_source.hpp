// SPDX-License-Identifier: Apache-2.0
// A virtual disk as one of the domain's devices: its specification and its opened target, alive over reboots.
#pragma once

#include "backends/devices/device.hpp"
#include "backends/disk/disk_spec.hpp"
#include "backends/disk/target_source.hpp"
#include "support/result.hpp"

#include <memory>
#include <set>
#include <span>

namespace parapet::disk {

inline constexpr const char* disk_device_kind = "vbd";

/// The first xvdX that is not in `taken`.
VdevNumber next_free_vdev(const std::set<VdevNumber>& taken);

/// Opens the target: raw ones here, others by the kind of that name in `kinds` ("nbd"). `spec.vdev` is set.
Result<std::unique_ptr<devices::DeviceSource>> open_disk(DiskSpec spec, std::span<const TargetKind> kinds);

/// What the disk's to_handover() gave, in the process that got it. The description is checked. Its vdev may be missing
/// (`parapet attach` knows no free one): then it is `default_vdev`.
Result<std::unique_ptr<devices::DeviceSource>>
disk_from_handover(devices::Handover handover, std::span<const TargetKind> kinds, VdevNumber default_vdev);

} // namespace parapet::disk
