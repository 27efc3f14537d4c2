// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/bls.hpp"

#include "vmm/bootdisk/text_lines.hpp"
#include "vmm/bootdisk/version_order.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_entries = 100;
constexpr std::string_view suffix = ".conf";

bool is_name_character(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

std::string substitute(std::string_view text, const VariableLookup& lookup) {
    std::string result;
    while (!text.empty()) {
        const std::size_t dollar = text.find('$');
        result += text.substr(0, dollar);
        if (dollar == std::string_view::npos) {
            break;
        }
        text.remove_prefix(dollar + 1);
        const bool braced = text.starts_with('{');
        text.remove_prefix(braced ? 1 : 0);
        const auto* const end = std::find_if_not(text.begin(), text.end(), is_name_character);
        const std::string_view name = text.substr(0, static_cast<std::size_t>(end - text.begin()));
        text.remove_prefix(name.size());
        text.remove_prefix(braced && text.starts_with('}') ? 1 : 0);
        result += name.empty() ? "$" : lookup(std::string{name});
        if (result.size() > DiskFiles::max_text) {
            break;
        }
    }
    return result;
}

std::string absolute(std::string_view path) {
    return path.starts_with('/') ? std::string{path} : "/" + std::string{path};
}

/// As the specification names this machine's; EFI's names have no case.
bool is_ours(std::string_view architecture) {
    return architecture.size() == 3 && std::tolower(static_cast<unsigned char>(architecture[0])) == 'x' &&
           architecture.substr(1) == "64";
}

std::optional<unsigned> number_in(std::string_view text) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional{number}
                                                                                     : std::nullopt;
}

} // namespace

std::optional<BootCounter> take_counter(std::string& name) {
    const std::size_t plus = name.rfind('+');
    if (plus == std::string::npos) {
        return std::nullopt;
    }
    const std::string_view text = std::string_view{name}.substr(plus + 1);
    const std::size_t dash = text.find('-');
    const auto left = number_in(text.substr(0, dash));
    const auto done = dash == std::string_view::npos ? std::optional{0U} : number_in(text.substr(dash + 1));
    if (!left || !done) {
        return std::nullopt; // the plus is part of the name
    }
    name.erase(plus);
    return BootCounter{*left, *done};
}

bool comes_before(const BlsEntry& a, const BlsEntry& b) {
    const auto exhausted = [](const BlsEntry& entry) { return entry.counter && entry.counter->left == 0; };
    if (exhausted(a) != exhausted(b)) {
        return exhausted(b);
    }
    if (a.sort_key.empty() != b.sort_key.empty()) {
        return b.sort_key.empty();
    }
    if (!a.sort_key.empty()) {
        if (a.sort_key != b.sort_key) {
            return a.sort_key < b.sort_key;
        }
        if (a.machine_id != b.machine_id) {
            return a.machine_id < b.machine_id;
        }
        if (const int order = compare_versions(a.version, b.version); order != 0) {
            return order > 0;
        }
    }
    if (const int order = compare_versions(a.boot.id, b.boot.id); order != 0) {
        return order > 0;
    }
    if (!a.counter || !b.counter) {
        return false;
    }
    return a.counter->left != b.counter->left ? a.counter->left > b.counter->left : a.counter->done < b.counter->done;
}

BlsEntry parse_bls_entry(std::string_view text, std::string name, std::size_t volume, const VariableLookup& lookup) {
    BlsEntry entry;
    entry.counter = take_counter(name);
    BootEntry& boot = entry.boot;
    boot.id = std::move(name);
    boot.kernel.volume = volume;
    for (const auto& [key, value] : keyed_lines(text)) {
        if (key == "title") {
            boot.title = value;
        } else if (key == "version") {
            entry.version = value;
        } else if (key == "machine-id") {
            entry.machine_id = value;
        } else if (key == "sort-key") {
            entry.sort_key = value;
        } else if (key == "architecture") {
            entry.is_foreign = !is_ours(value);
        } else if (key == "linux" || key == "linuxefi") {
            boot.kernel.path = absolute(substitute(value, lookup));
        } else if (key == "efi" || key == "uki") {
            entry.image = absolute(value);
        } else if (key == "initrd") {
            const std::string files = substitute(value, lookup);
            for (const std::string_view file : words_of(files)) {
                boot.initrds.push_back({volume, absolute(file)});
            }
        } else if (key == "options") {
            boot.cmdline += (boot.cmdline.empty() ? "" : " ") + substitute(value, lookup);
        }
    }
    if (boot.title.empty()) {
        boot.title = boot.id;
    }
    return entry;
}

std::vector<BlsEntry> read_bls_entries(DiskFiles& disk, const FilePlace& folder, const VariableLookup& lookup) {
    std::vector<BlsEntry> entries;
    for (const std::string& name : disk.list(folder)) {
        if (!name.ends_with(suffix) || name.find('/') != std::string::npos || entries.size() == max_entries) {
            continue;
        }
        if (const auto text = disk.read({folder.volume, folder.path + "/" + name})) {
            BlsEntry entry = parse_bls_entry(*text, name.substr(0, name.size() - suffix.size()), folder.volume, lookup);
            if (!entry.is_foreign && !(entry.boot.kernel.path.empty() && entry.image.empty())) {
                entries.push_back(std::move(entry));
            }
        }
    }
    return entries;
}

std::vector<BootEntry> in_order(std::vector<BlsEntry> entries) {
    std::stable_sort(entries.begin(), entries.end(), comes_before);
    std::vector<BootEntry> boots;
    boots.reserve(entries.size());
    for (BlsEntry& entry : entries) {
        boots.push_back(std::move(entry.boot));
    }
    return boots;
}

std::string default_of_loader_conf(std::string_view text) {
    std::string pattern;
    for (const auto& [key, value] : keyed_lines(text)) {
        if (key == "default") {
            pattern = value;
        }
    }
    return pattern;
}

} // namespace parapet::bootdisk
