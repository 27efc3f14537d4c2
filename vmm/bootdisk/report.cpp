// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/report.hpp"

#include <cstdint>
#include <cstring>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_texts = 128;

} // namespace

std::string pack_report(const std::vector<std::string>& texts) {
    std::string bytes;
    for (const std::string& text : texts) {
        const auto size = static_cast<std::uint32_t>(text.size());
        bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
        bytes += text;
    }
    return bytes;
}

std::optional<std::vector<std::string>> unpack_report(std::string_view bytes) {
    std::vector<std::string> texts;
    while (!bytes.empty()) {
        std::uint32_t size = 0;
        if (bytes.size() < sizeof size || texts.size() == max_texts) {
            return std::nullopt;
        }
        std::memcpy(&size, bytes.data(), sizeof size);
        bytes.remove_prefix(sizeof size);
        if (size > bytes.size()) {
            return std::nullopt;
        }
        texts.emplace_back(bytes.substr(0, size));
        bytes.remove_prefix(size);
    }
    return texts;
}

} // namespace parapet::bootdisk
