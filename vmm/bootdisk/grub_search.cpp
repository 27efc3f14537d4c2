// SPDX-License-Identifier: Apache-2.0
// The commands of a grub.cfg that find devices and ask about them: search, search.fs_uuid and its like, probe.
#include "vmm/bootdisk/command_options.hpp"
#include "vmm/bootdisk/grub_script.hpp"
#include "vmm/bootdisk/partition_uuid.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <utility>

namespace parapet::bootdisk {
namespace {

using Words = std::vector<std::string>;
using Value = CommandOption::Value;

std::string without_parentheses(const std::string& name) {
    return name.size() > 1 && name.front() == '(' && name.back() == ')' ? name.substr(1, name.size() - 2) : name;
}

/// The volumes in the order in which GRUB looks at them: those that hints name come first. A hint that ends in a comma
/// names the partitions of a disk as well.
std::vector<std::size_t> order_of(const std::vector<Volume>& volumes, const Words& hints) {
    std::vector<std::size_t> order;
    const auto add = [&](std::size_t volume) {
        if (std::find(order.begin(), order.end(), volume) == order.end()) {
            order.push_back(volume);
        }
    };
    for (const std::string& hint : hints) {
        if (const auto volume = find_device(volumes, without_parentheses(hint))) {
            add(*volume);
        }
    }
    for (std::size_t i = 0; i < volumes.size(); i++) {
        add(i);
    }
    return order;
}

} // namespace

bool GrubScript::search(const Words& words) {
    if (words.front() != "search") {
        // search.fs_uuid NAME [VARIABLE [HINT]...]
        const std::string by = words.front().substr(words.front().find('.') + 1);
        const bool known = by == "fs_uuid" || by == "fs_label" || by == "file" || by == "fs_file";
        return known && words.size() > 1 &&
               search_volume(
                   by == "fs_uuid"    ? SearchBy::uuid
                   : by == "fs_label" ? SearchBy::label
                                      : SearchBy::file,
                   words[1], words.size() > 2 ? words[2] : "",
                   {words.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(3, words.size())), words.end()});
    }
    const auto options = parse_options(words,
                                       {{"file", 'f'},
                                        {"label", 'l'},
                                        {"fs-uuid", 'u'},
                                        {"set", 's', Value::optional},
                                        {"no-floppy", 'n'},
                                        {"efidisk-only", 0},
                                        {"root-dev-only", 'r'},
                                        {"hint", 'h', Value::wanted},
                                        {"hint-ieee1275", 0, Value::wanted},
                                        {"hint-bios", 0, Value::wanted},
                                        {"hint-baremetal", 0, Value::wanted},
                                        {"hint-efi", 0, Value::wanted},
                                        {"hint-arc", 0, Value::wanted}},
                                       true);
    if (!options) {
        return false;
    }
    Words hints;
    for (const char* name : {"hint", "hint-bios", "hint-efi", "hint-baremetal"}) {
        if (const auto found = options->given.find(name); found != options->given.end()) {
            hints.insert(hints.end(), found->second.begin(), found->second.end());
        }
    }
    std::string variable = options->has("set") ? options->value("set").value_or("root") : "";
    // Hints for platforms yet to come stand before the name.
    const auto name = std::find_if_not(options->words.begin(), options->words.end(),
                                       [](const std::string& word) { return word.starts_with("--hint-"); });
    std::optional<std::string> wanted;
    if (name != options->words.end()) {
        wanted = *name;
    } else if (options->value("set")) {
        wanted = std::exchange(variable, "root"); // --set=NAME
    }
    const bool by_label = options->has("label");
    const bool by_uuid = options->has("fs-uuid");
    if (!wanted || (!by_label && !by_uuid && !options->has("file"))) {
        return false;
    }
    return search_volume(by_label  ? SearchBy::label
                         : by_uuid ? SearchBy::uuid
                                   : SearchBy::file,
                         *wanted, variable, hints);
}

bool GrubScript::search_volume(SearchBy by, const std::string& name, const std::string& variable, const Words& hints) {
    const auto& volumes = disk_.volumes();
    for (const std::size_t i : order_of(volumes, hints)) {
        const std::vector<Volume> only{volumes[i]};
        const bool here = by == SearchBy::uuid ? find_uuid(only, name).has_value()
                          : by == SearchBy::label
                              ? find_label(only, name).has_value()
                              : spend(100) && disk_.exists({i, name.starts_with('/') ? name : "/" + name});
        if (here) {
            if (!variable.empty()) {
                assign(variable, volumes[i].name);
            }
            return true;
        }
    }
    return false;
}

bool GrubScript::probe(const Words& words) {
    const auto options = parse_options(words,
                                       {{"set", 's', Value::wanted},
                                        {"driver", 'd'},
                                        {"partmap", 'p'},
                                        {"fs", 'f'},
                                        {"fs-uuid", 'u'},
                                        {"label", 'l'},
                                        {"part-uuid", 0}},
                                       false);
    if (!options || options->words.empty()) {
        return false;
    }
    const auto volume = find_device(disk_.volumes(), without_parentheses(options->words.front()));
    if (!volume) {
        return false;
    }
    const Volume& device = disk_.volumes()[*volume];
    const std::size_t comma = device.name.rfind(',');
    std::string value;
    if (options->has("driver")) {
        value = device.name.starts_with("loop") ? "xen" : device.name.substr(0, device.name.find('/'));
    } else if (options->has("partmap")) {
        const std::string partition = comma == std::string::npos ? "none" : device.name.substr(comma + 1);
        value = partition.substr(0, partition.find_first_of("0123456789"));
    } else if (options->has("part-uuid")) {
        value = spend(100) ? partition_uuid(disk_, device.name).value_or("none") : "";
    } else if (options->has("fs")) {
        value = device.type;
    } else if (options->has("fs-uuid")) {
        value = device.uuid;
    } else if (options->has("label")) {
        value = device.label;
    } else {
        return false;
    }
    // An empty label is an answer; a file system without a UUID is a failure.
    if (value.empty() && !options->has("label")) {
        return false;
    }
    if (const auto variable = options->value("set")) {
        assign(*variable, std::move(value));
    }
    return true;
}

} // namespace parapet::bootdisk
