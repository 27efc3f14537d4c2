// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/bls.hpp"

#include "vmm/bootdisk/text_lines.hpp"

#include <algorithm>
#include <cctype>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_entries = 100;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Takes the characters at the front for which `test` holds.
template <typename Test>
std::string_view take_while(std::string_view& text, Test test) {
    const auto end = std::find_if_not(text.begin(), text.end(), test);
    const std::string_view taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(taken.size());
    return taken;
}

int compare_numbers(std::string_view a, std::string_view b) {
    take_while(a, [](char c) { return c == '0'; });
    take_while(b, [](char c) { return c == '0'; });
    return a.size() != b.size() ? (a.size() < b.size() ? -1 : 1) : a.compare(b);
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
        const std::string_view name = take_while(text, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
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

} // namespace

int compare_versions(std::string_view a, std::string_view b) {
    const auto separator = [](char c) { return !is_digit(c) && !is_letter(c) && c != '~'; };
    while (true) {
        take_while(a, separator);
        take_while(b, separator);
        const bool tilde_a = a.starts_with('~');
        const bool tilde_b = b.starts_with('~');
        if (tilde_a != tilde_b) {
            return tilde_a ? -1 : 1;
        }
        if (tilde_a) {
            a.remove_prefix(1);
            b.remove_prefix(1);
            continue;
        }
        if (a.empty() || b.empty()) {
            return static_cast<int>(!a.empty()) - static_cast<int>(!b.empty());
        }
        const bool number = is_digit(a.front());
        if (number != is_digit(b.front())) {
            return number ? 1 : -1; // a number is newer than a letter
        }
        const auto test = number ? is_digit : is_letter;
        const std::string_view part_a = take_while(a, test);
        const std::string_view part_b = take_while(b, test);
        if (const int order = number ? compare_numbers(part_a, part_b) : part_a.compare(part_b); order != 0) {
            return order;
        }
    }
}

BootEntry parse_bls_entry(std::string_view text, std::string id, std::size_t volume, const VariableLookup& lookup) {
    BootEntry entry{std::move(id), {}, {volume, {}}, {}, {}};
    for (const auto& [key, value] : keyed_lines(text)) {
        if (key == "title") {
            entry.title = value;
        } else if (key == "linux" || key == "linuxefi") {
            entry.kernel.path = absolute(substitute(value, lookup));
        } else if (key == "initrd") {
            const std::string files = substitute(value, lookup);
            for (const std::string_view file : words_of(files)) {
                entry.initrds.push_back({volume, absolute(file)});
            }
        } else if (key == "options") {
            entry.cmdline += (entry.cmdline.empty() ? "" : " ") + substitute(value, lookup);
        }
    }
    if (entry.title.empty()) {
        entry.title = entry.id;
    }
    return entry;
}

std::vector<BootEntry> read_bls_entries(DiskFiles& disk, const FilePlace& folder, const VariableLookup& lookup) {
    std::vector<std::string> names;
    for (std::string& name : disk.list(folder)) {
        if (name.ends_with(".conf") && name.find('/') == std::string::npos) {
            names.push_back(std::move(name));
        }
    }
    std::sort(names.begin(), names.end(),
              [](const std::string& a, const std::string& b) { return compare_versions(a, b) > 0; });
    names.resize(std::min(names.size(), max_entries));
    std::vector<BootEntry> entries;
    for (const std::string& name : names) {
        if (const auto text = disk.read({folder.volume, folder.path + "/" + name})) {
            BootEntry entry = parse_bls_entry(*text, name.substr(0, name.size() - 5), folder.volume, lookup);
            if (!entry.kernel.path.empty()) {
                entries.push_back(std::move(entry));
            }
        }
    }
    return entries;
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
