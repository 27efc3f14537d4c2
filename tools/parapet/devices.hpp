// SPDX-License-Identifier: Apache-2.0
// The kinds of devices that this command knows: from the user's words to opened devices.
#pragma once

#include "backends/devices/device.hpp"
#include "support/result.hpp"
#include "tools/parapet/options.hpp"

#include <memory>
#include <string>

namespace parapet::cli {

/// Opens the devices of --disk and --vif, and takes those of `parapet attach`.
[[nodiscard]] devices::DeviceFactory device_factory(const RunOptions& options);

/// For `parapet attach`: `kind`: "disk" or "vif"; `spec`: as after --disk or --vif.
Result<std::unique_ptr<devices::DeviceSource>> open_device(const std::string& kind, const std::string& spec);

} // namespace parapet::cli
