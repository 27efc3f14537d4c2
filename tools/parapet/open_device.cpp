// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/open_device.hpp"

namespace parapet::cli {

Result<std::unique_ptr<devices::DeviceSource>> open_device(const std::string& kind, const std::string& spec) {
    return Error{"this version of parapet knows no " + kind + ", so '" + spec + "' cannot be attached"};
}

} // namespace parapet::cli
