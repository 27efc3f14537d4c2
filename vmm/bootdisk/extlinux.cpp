// SPDX-License-Identifier: Apache-2.0
// Configurations of the syslinux family: extlinux, syslinux, isolinux (syslinux's doc/syslinux.txt and doc/menu.txt).
#include "vmm/bootdisk/other_configs.hpp"
#include "vmm/bootdisk/text_lines.hpp"

#include <algorithm>
#include <cctype>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_entries = 1000, max_initrds = 16;
constexpr unsigned max_files = 32; ///< that INCLUDE reads, one within another or not

std::string lower(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

/// Without "." and ".." and empty parts.
std::string normalised(std::string_view path) {
    std::string result;
    while (!path.empty()) {
        const std::string_view part = path.substr(0, path.find('/'));
        if (part == "..") {
            result.resize(std::min(result.size(), result.rfind('/')));
        } else if (!part.empty() && part != ".") {
            result.append("/").append(part);
        }
        path.remove_prefix(std::min(path.size(), part.size() + 1));
    }
    return result.empty() ? "/" : result;
}

/// What stands between "---".
std::vector<std::string_view> parts_of(std::string_view text) {
    std::vector<std::string_view> parts;
    for (std::size_t at = text.find("---"); at != std::string_view::npos; at = text.find("---")) {
        parts.push_back(trimmed(text.substr(0, at)));
        text.remove_prefix(at + 3);
    }
    parts.push_back(trimmed(text));
    return parts;
}

class Menu {
public:
    Menu(DiskFiles& disk, const FilePlace& config) : disk_{disk}, config_{config} {}

    void read(std::string_view text) {
        for (const auto& [key, value] : keyed_lines(text)) {
            if (in_help_) {
                in_help_ = lower(key) != "endtext";
            } else {
                take(lower(key), value);
            }
        }
    }

    SimpleMenu finish() {
        for (Label& label : labels_) {
            menu_.entries.push_back(complete(label));
        }
        const auto is_program = [](const std::string& name) { return lower(name).ends_with(".c32"); };
        std::string_view command_line = default_;
        const std::string first{take_word(command_line)};
        if (!first.empty() && !is_program(first)) {
            choose(first, command_line);
        } else if (!menu_default_.empty()) {
            menu_.default_entry = menu_default_;
        } else if (!on_timeout_.empty()) {
            std::string_view rest = on_timeout_;
            const std::string label{take_word(rest)};
            choose(label, rest);
        }
        return std::move(menu_);
    }

private:
    struct Label {
        std::string id, title, kernel, initrd;
        std::optional<std::string> append;
        bool is_disabled = false;
    };

    void take(const std::string& key, std::string_view value) {
        if (key == "menu") {
            take_menu(lower(take_word(value)), value);
        } else if (key == "text") {
            in_help_ = true;
        } else if (key == "include") {
            include(value);
        } else if (key == "label") {
            if (labels_.size() < max_entries) {
                labels_.push_back({std::string{value}, std::string{value}, {}, {}, {}});
            }
        } else if (key == "default") {
            default_ = value;
        } else if (key == "ontimeout") {
            on_timeout_ = value;
        } else if (key == "append") {
            (labels_.empty() ? append_ : labels_.back().append) = std::string{value};
        } else if (!labels_.empty()) {
            take_in_label(key, value);
        }
    }

    void take_in_label(const std::string& key, std::string_view value) {
        Label& label = labels_.back();
        if (key == "linux" || key == "kernel") {
            label.kernel = value;
        } else if (key == "initrd") {
            label.initrd = value;
        } else if (key == "localboot" || key == "com32" || key == "boot" || key == "bss" || key == "pxe") {
            label.kernel.clear();
        }
    }

    void take_menu(const std::string& key, std::string_view value) {
        if (key == "include") {
            include(value.substr(0, value.find_first_of(blanks))); // a menu's name may follow
        } else if (key == "begin") {
            depth_++;
        } else if (key == "end") {
            depth_ -= depth_ > 0 ? 1 : 0;
        } else if (!labels_.empty()) {
            Label& label = labels_.back();
            if (key == "label") {
                label.title = value;
                std::erase(label.title, '^'); // marks the hot key
            } else if (key == "default" && depth_ == 0) {
                menu_default_ = label.id;
            } else if (key == "disable") {
                label.is_disabled = true;
            }
        }
    }

    void include(std::string_view name) {
        if (name.empty() || files_++ >= max_files) {
            return;
        }
        if (const auto text = disk_.read(place(name))) {
            read(*text);
        }
    }

    /// Relative to the folder of the first configuration, as it is the working directory.
    [[nodiscard]] FilePlace place(std::string_view path) const {
        const std::string folder = config_.path.substr(0, config_.path.rfind('/') + 1);
        const bool from_root = path.starts_with("::");
        path.remove_prefix(from_root ? 2 : 0);
        return {config_.volume,
                normalised(from_root || path.starts_with('/') ? std::string{path} : folder + std::string{path})};
    }

    /// `files` separated by commas.
    void add_initrds(BootEntry& entry, std::string_view files) const {
        while (!files.empty() && entry.initrds.size() < max_initrds) {
            const std::string_view file = files.substr(0, files.find(','));
            if (!file.empty()) {
                entry.initrds.push_back(place(file));
            }
            files.remove_prefix(std::min(files.size(), file.size() + 1));
        }
    }

    void add_options(BootEntry& entry, std::string_view line) const {
        for (const std::string_view word : words_of(line)) {
            if (word.starts_with("initrd=")) {
                entry.initrds.clear(); // the last one counts
                add_initrds(entry, word.substr(7));
            } else {
                entry.cmdline += (entry.cmdline.empty() ? "" : " ") + std::string{word};
            }
        }
    }

    /// KERNEL mboot.c32, APPEND xen.gz ... --- vmlinuz ... --- initrd.img: Linux is Xen's first module.
    void add_modules(BootEntry& entry, std::string_view line) const {
        const std::vector<std::string_view> parts = parts_of(line);
        if (parts.size() < 2) {
            return;
        }
        std::string_view linux = parts[1];
        entry.kernel = place(take_word(linux));
        add_options(entry, linux);
        for (std::size_t i = 2; i < parts.size() && i < 2 + max_initrds; i++) {
            std::string_view module = parts[i];
            entry.initrds.push_back(place(take_word(module)));
        }
    }

    BootEntry complete(const Label& label) const {
        BootEntry entry{label.id, label.title, {config_.volume, {}}, {}, {}};
        const std::string append = label.append.value_or(append_.value_or(""));
        const std::string kernel = lower(label.kernel);
        if (label.is_disabled) {
            return entry;
        }
        if (kernel.ends_with("mboot.c32")) {
            add_modules(entry, append);
            return entry;
        }
        if (label.kernel.empty() || kernel.ends_with(".c32")) {
            return entry; // another program, or another disk
        }
        entry.kernel = place(label.kernel);
        if (append != "-") {
            add_options(entry, append);
        }
        if (!label.initrd.empty()) {
            entry.initrds.clear();
            add_initrds(entry, label.initrd);
        }
        return entry;
    }

    /// A label with options after it; or, where no label is called so, a kernel's file.
    void choose(const std::string& name, std::string_view options) {
        auto& entries = menu_.entries;
        auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.id == name; });
        if (found == entries.end()) {
            found = std::find_if(entries.begin(), entries.end(),
                                 [&](const auto& entry) { return lower(entry.id) == lower(name); });
        }
        if (found == entries.end()) {
            BootEntry entry{name, name, place(name), {}, {}};
            add_options(entry, append_.value_or(""));
            found = entries.insert(entries.end(), std::move(entry));
        }
        add_options(*found, options);
        menu_.default_entry = found->id;
    }

    DiskFiles& disk_;
    const FilePlace& config_;
    std::vector<Label> labels_;
    std::optional<std::string> append_;
    std::string default_, menu_default_, on_timeout_;
    unsigned files_ = 0, depth_ = 0;
    bool in_help_ = false;
    SimpleMenu menu_;
};

} // namespace

SimpleMenu parse_extlinux(DiskFiles& disk, std::string_view text, const FilePlace& config) {
    Menu menu{disk, config};
    menu.read(text);
    return menu.finish();
}

} // namespace parapet::bootdisk
