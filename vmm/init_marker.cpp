// SPDX-License-Identifier: Apache-2.0
#include "vmm/init_marker.hpp"

#include <cstdlib>

namespace parapet::vmm {

void InitMarker::feed(std::string_view text) {
    if (host_seconds_) {
        return;
    }
    constexpr std::size_t longest_line = 256;
    for (const char c : text) {
        if (c == '\n') {
            look_at(line_);
            line_.clear();
        } else if (line_.size() < longest_line) {
            line_ += c;
        }
    }
}

void InitMarker::look_at(std::string_view line) {
    constexpr std::string_view marker = "parapet-init: uptime ";
    const std::size_t at = line.find(marker);
    if (at == std::string_view::npos || host_seconds_) {
        return;
    }
    host_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    const std::string number{line.substr(at + marker.size())};
    guest_uptime_ = std::strtod(number.c_str(), nullptr);
}

} // namespace parapet::vmm
