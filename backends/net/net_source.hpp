// SPDX-License-Identifier: Apache-2.0
// An opened virtual interface (kind "vif").
#pragma once

#include "backends/devices/device.hpp"
#include "backends/net/vif_spec.hpp"

#include <memory>
#include <string_view>

namespace parapet::net {

inline constexpr std::string_view vif_device_kind = "vif";

/// Opens the endpoint: what takes rights or makes processes. `id`: the number where the specification has no devid=.
Result<std::unique_ptr<devices::DeviceSource>> open_vif(const VifSpec& spec, unsigned id);

/// A source that another process opened. What it says is checked. `default_id`: where the user named no devid=.
Result<std::unique_ptr<devices::DeviceSource>> net_from_handover(devices::Handover handover, unsigned default_id);

} // namespace parapet::net
