// SPDX-License-Identifier: Apache-2.0
// Which device of a domain a user means.
#pragma once

#include "support/result.hpp"
#include "vmm/control/device_control.hpp"

#include <string>
#include <vector>

namespace parapet::vmm::control {

/// By its name ("xvda", "vif0"), its kind and number ("vbd-51712", "vif/0"), or its number where only one has it.
[[nodiscard]] Result<DeviceInfo> find_device(const std::vector<DeviceInfo>& devices, const std::string& word);

} // namespace parapet::vmm::control
