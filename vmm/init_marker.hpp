// SPDX-License-Identifier: Apache-2.0
// Notices in the console's output the line with which our initramfs says that init runs:
// "parapet-init: uptime <seconds>" (guests/initramfs).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::vmm {

class InitMarker {
public:
    void start(std::chrono::steady_clock::time_point when) { started_ = when; }
    void feed(std::string_view text);
    [[nodiscard]] std::optional<double> host_seconds() const { return host_seconds_; }
    [[nodiscard]] std::optional<double> guest_uptime() const { return guest_uptime_; }

private:
    void look_at(std::string_view line);

    std::chrono::steady_clock::time_point started_;
    std::string line_; ///< the last line, not ended yet; cut where it grows long
    std::optional<double> host_seconds_, guest_uptime_;
};

} // namespace parapet::vmm
