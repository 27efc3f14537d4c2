// SPDX-License-Identifier: Apache-2.0
// A device as the user wrote it, opened: for `parapet attach`.
#pragma once

#include "backends/devices/device.hpp"
#include "support/result.hpp"

#include <memory>
#include <string>

namespace parapet::cli {

/// `kind`: "disk" or "vif"; `spec`: as after --disk or --vif.
Result<std::unique_ptr<devices::DeviceSource>> open_device(const std::string& kind, const std::string& spec);

} // namespace parapet::cli
