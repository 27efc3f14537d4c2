// SPDX-License-Identifier: Apache-2.0
// GRUB's environment block: a file of 1024 bytes with NAME=VALUE lines.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parapet::bootdisk {

inline std::vector<std::pair<std::string, std::string>> parse_grubenv(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> result;
    std::string line;
    for (std::size_t i = 0; i <= text.size(); i++) {
        const char c = i < text.size() ? text[i] : '\n';
        if (c == '\\' && i + 1 < text.size()) {
            line.push_back(text[++i]); // a newline or a backslash in a value
        } else if (c != '\n') {
            line.push_back(c);
        } else {
            const std::size_t sign = line.find('=');
            if (sign != std::string::npos && sign > 0 && line[0] != '#') {
                result.emplace_back(line.substr(0, sign), line.substr(sign + 1));
            }
            line.clear();
        }
    }
    return result;
}

} // namespace parapet::bootdisk
