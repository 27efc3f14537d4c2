// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/device_name.hpp"

#include <algorithm>
#include <iterator>

namespace parapet::vmm::control {

Result<DeviceInfo> find_device(const std::vector<DeviceInfo>& devices, const std::string& word) {
    const auto called = [&word](const DeviceInfo& device) {
        const std::string number = std::to_string(device.id);
        return device.name == word || device.kind + "-" + number == word || device.kind + "/" + number == word;
    };
    if (const auto found = std::find_if(devices.begin(), devices.end(), called); found != devices.end()) {
        return *found;
    }
    std::vector<DeviceInfo> numbered;
    std::copy_if(devices.begin(), devices.end(), std::back_inserter(numbered),
                 [&word](const DeviceInfo& device) { return std::to_string(device.id) == word; });
    if (numbered.size() == 1) {
        return numbered.front();
    }
    if (numbered.size() > 1) {
        return Error{"several devices have the number " + word + ": say which, as '" + numbered.front().kind + "-" +
                     word + "'"};
    }
    std::string there;
    for (const DeviceInfo& device : devices) {
        there += (there.empty() ? "" : ", ") + device.name;
    }
    return Error{"the domain has no device '" + word + "': " + (there.empty() ? "it has none" : "it has " + there)};
}

} // namespace parapet::vmm::control
