// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/other_configs.hpp"
#include "vmm/bootdisk/text_lines.hpp"
#include "vmm/bootdisk/volumes.hpp"

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_entries = 1000;

/// "key value" and "key=value" alike.
std::string_view take_key(std::string_view& line) {
    const std::string_view key = line.substr(0, line.find_first_of(" \t="));
    line.remove_prefix(key.size());
    const std::size_t value = line.find_first_not_of(" \t=");
    line = value == std::string_view::npos ? std::string_view{} : line.substr(value);
    return key;
}

class Menu {
public:
    Menu(const FilePlace& config, const std::vector<Volume>& volumes)
        : config_{config}, volumes_{volumes}, root_{config.volume} {}

    void take(std::string_view line) {
        const std::string_view key = take_key(line);
        if (key == "title") {
            begin_entry(line);
        } else if (key == "default" && menu_.entries.empty()) {
            menu_.default_entry = line == "saved" ? "" : std::string{line};
        } else if (key == "fallback" && menu_.entries.empty()) {
            for (const std::string_view word : words_of(line)) {
                menu_.fallbacks.emplace_back(word);
            }
        } else if (!menu_.entries.empty()) {
            take_in_entry(key, line);
        }
    }

    /// Entries without a kernel (chainloader) keep their place in the count.
    SimpleMenu finish() { return std::move(menu_); }

private:
    void begin_entry(std::string_view title) {
        full_ = menu_.entries.size() >= max_entries;
        if (!full_) {
            menu_.entries.push_back({std::string{title}, std::string{title}, {config_.volume, {}}, {}, {}});
            root_ = config_.volume;
            xen_ = false;
        }
    }

    void take_in_entry(std::string_view key, std::string_view value) {
        BootEntry& entry = menu_.entries.back();
        if (full_) {
            return;
        }
        if (key == "root" || key == "rootnoverify") {
            std::string_view device = take_word(value);
            if (device.starts_with('(') && device.ends_with(')')) {
                device = device.substr(1, device.size() - 2);
            }
            root_ = find_device(volumes_, device, true).value_or(config_.volume);
        } else if (key == "kernel") {
            take_kernel(entry, value);
        } else if (key == "initrd") {
            take_initrds(entry, value);
        } else if (key == "module") {
            // The kernel was Xen: its first module is Linux.
            if (!xen_) {
                xen_ = true;
                take_kernel(entry, value);
            } else {
                take_initrds(entry, value);
            }
        }
    }

    void take_kernel(BootEntry& entry, std::string_view value) {
        std::string_view path = take_word(value);
        while (path.starts_with("--")) {
            path = take_word(value);
        }
        entry.kernel = place_of(volumes_, path, root_, true);
        entry.cmdline = std::string{value};
    }
    void take_initrds(BootEntry& entry, std::string_view value) {
        for (const std::string_view path : words_of(value)) {
            if (entry.initrds.size() < 16) {
                entry.initrds.push_back(place_of(volumes_, path, root_, true));
            }
        }
    }

    const FilePlace& config_;
    const std::vector<Volume>& volumes_;
    std::size_t root_;
    bool xen_ = false, full_ = false;
    SimpleMenu menu_;
};

} // namespace

SimpleMenu parse_legacy_grub(std::string_view text, const FilePlace& config, const std::vector<Volume>& volumes) {
    Menu menu{config, volumes};
    for (const std::string_view line : lines_of(text)) {
        if (!line.empty() && line.front() != '#') {
            menu.take(line);
        }
    }
    return menu.finish();
}

} // namespace parapet::bootdisk
