// SPDX-License-Identifier: Apache-2.0
// What the control socket asks of whoever keeps the domain's devices (the device manager of vmm/). All on the control
// thread.
#pragma once

#include "backends/devices/device.hpp"
#include "support/result.hpp"

#include <boost/json/object.hpp>
#include <functional>
#include <string>
#include <vector>

namespace parapet::vmm::control {

/// One device, for `parapet list` and to find it by what the user calls it.
struct DeviceInfo {
    std::string kind;               ///< "vbd", "vif"
    unsigned id = 0;                ///< in the frontend's path: 51712, 0
    std::string name;               ///< what the user calls it: "xvda", "vif0"
    std::string description;        ///< DeviceSource::describe()
    std::string state;              ///< of the backend: "connected", "closing", ...
    boost::json::object statistics; ///< DeviceBackend::statistics(), or empty
};

class DeviceControl {
public:
    virtual ~DeviceControl() = default;
    /// Adds a device that another process opened; it stays over the guest's reboots. The Handover is that process's
    /// word: devices::from_handover() checks it. Does not wait for the guest.
    virtual Result<DeviceInfo> attach(devices::Handover handover) = 0;
    /// Removes a device for good; `force`: without waiting for the guest. `done` is called once, on the control thread,
    /// perhaps before this returns: the device and its descriptors are gone, or a sentence says why not. It may be
    /// dropped without a call when this life of the domain ends before.
    virtual void detach(const std::string& kind, unsigned id, bool force, std::function<void(Result<void>)> done) = 0;
    [[nodiscard]] virtual std::vector<DeviceInfo> list() const = 0;
};

} // namespace parapet::vmm::control
