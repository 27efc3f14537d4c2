// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/other_configs.hpp"
#include "vmm/bootdisk/text_lines.hpp"

#include <algorithm>
#include <cctype>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_entries = 1000;

std::string lower(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

FilePlace beside(const FilePlace& config, std::string_view path) {
    if (path.starts_with('/')) {
        return {config.volume, std::string{path}};
    }
    return {config.volume, config.path.substr(0, config.path.rfind('/')) + "/" + std::string{path}};
}

/// `files` separated by commas.
void add_initrds(BootEntry& entry, const FilePlace& config, std::string_view files) {
    while (!files.empty() && entry.initrds.size() < 16) {
        const std::string_view file = files.substr(0, files.find(','));
        if (!file.empty()) {
            entry.initrds.push_back(beside(config, file));
        }
        files.remove_prefix(std::min(files.size(), file.size() + 1));
    }
}

void take_append(BootEntry& entry, const FilePlace& config, std::string_view line) {
    entry.cmdline.clear();
    for (const std::string_view word : words_of(line)) {
        if (word.starts_with("initrd=")) {
            add_initrds(entry, config, word.substr(7));
        } else if (word != "-") {
            entry.cmdline += (entry.cmdline.empty() ? "" : " ") + std::string{word};
        }
    }
}

} // namespace

SimpleMenu parse_extlinux(std::string_view text, const FilePlace& config) {
    SimpleMenu menu;
    for (const auto& [written_key, written_value] : keyed_lines(text)) {
        std::string key = lower(written_key);
        std::string_view value = written_value;
        if (key == "menu") {
            key = "menu " + lower(take_word(value));
        }
        if (key == "label" && menu.entries.size() < max_entries) {
            menu.entries.push_back({std::string{value}, std::string{value}, {config.volume, {}}, {}, {}});
        } else if (key == "default" && menu.default_entry.empty()) {
            menu.default_entry = value;
        } else if (menu.entries.empty()) {
            continue;
        } else if (key == "menu label") {
            menu.entries.back().title = value;
            std::erase(menu.entries.back().title, '^'); // marks the hot key
        } else if (key == "menu default") {
            menu.default_entry = menu.entries.back().id;
        } else if (key == "linux" || key == "kernel") {
            menu.entries.back().kernel = beside(config, value);
        } else if (key == "initrd") {
            add_initrds(menu.entries.back(), config, value);
        } else if (key == "append") {
            take_append(menu.entries.back(), config, value);
        }
    }
    return menu;
}

} // namespace parapet::bootdisk
