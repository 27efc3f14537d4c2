// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/settings.hpp"

#include <charconv>
#include <string_view>

namespace parapet::nbd {

Result<Settings> parse_settings(int count, char** words) {
    const Error usage{"parapet-nbd is started by parapet; see docs/devices.md"};
    Settings settings;
    for (int i = 1; i < count; i++) {
        const std::string_view word = words[i];
        if (word == "--read-only") {
            settings.read_only = true;
            continue;
        }
        if (++i == count) {
            return usage;
        }
        const std::string_view value = words[i];
        if (word == "--uri") {
            settings.uri = value;
        } else if (word == "--image") {
            settings.image = value;
        } else if (word == "--format") {
            settings.format = value;
        } else if (word == "--patience-ms") {
            unsigned milliseconds = 0;
            const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), milliseconds);
            if (wrong != std::errc{} || end != value.data() + value.size()) {
                return usage;
            }
            settings.patience = std::chrono::milliseconds{milliseconds};
        } else {
            return usage;
        }
    }
    if (settings.uri.empty() == settings.image.empty() || settings.image.empty() != settings.format.empty()) {
        return usage;
    }
    return settings;
}

} // namespace parapet::nbd
