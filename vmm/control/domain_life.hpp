// SPDX-License-Identifier: Apache-2.0
// What the control server asks of a domain while it runs: one object for each life between two reboots. All on the
// control thread.
#pragma once

#include "support/result.hpp"
#include "vmm/control/device_control.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace parapet::vmm::control {

struct LifeFacts {
    unsigned domid = 0;
    unsigned vcpus = 1;
    std::uint64_t memory_bytes = 0; ///< what the guest owns now
    std::uint64_t target_bytes = 0; ///< what it was asked to own
    std::uint64_t maximum_bytes = 0;
    double uptime_s = 0;
    unsigned reboots = 0;
    std::string kernel;
    bool shutting_down = false;
};

class DomainLife {
public:
    virtual ~DomainLife() = default;
    [[nodiscard]] virtual LifeFacts facts() const = 0;
    /// Asks the guest to power off or reboot: `how` is "poweroff" or "reboot". An Error where it does not heed that.
    virtual Result<void> ask_shutdown(std::string_view how) = 0;
    /// Ends the domain at once.
    virtual void destroy() = 0;
    /// Asks the guest's balloon driver. `bytes` is within the domain's bounds.
    virtual Result<void> set_memory_target(std::uint64_t bytes) = 0;
    /// Input for the guest's console; returns how many bytes were taken.
    virtual std::size_t type(std::span<const char> bytes) = 0;
    /// Nothing: this domain's devices cannot be changed.
    [[nodiscard]] virtual DeviceControl* devices() = 0;
};

} // namespace parapet::vmm::control
