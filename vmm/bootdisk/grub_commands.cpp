// SPDX-License-Identifier: Apache-2.0
// The commands of a grub.cfg that matter for what is booted. All others (video, fonts, modules, terminals) succeed
// without doing anything.
#include "vmm/bootdisk/bls.hpp"
#include "vmm/bootdisk/grub_script.hpp"
#include "vmm/bootdisk/grubenv.hpp"
#include "vmm/bootdisk/script_test.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <utility>

namespace parapet::bootdisk {
namespace {

using Words = std::vector<std::string>;

constexpr std::size_t max_items = 1000;
constexpr std::size_t max_initrds = 16;
constexpr unsigned max_files = 64;

bool one_of(const std::string& word, std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return word == name; });
}

/// "NAME=VALUE" cut in two; nothing if it is no assignment.
std::optional<std::pair<std::string, std::string>> assignment(const std::string& word) {
    const std::size_t sign = word.find('=');
    if (sign == std::string::npos || sign == 0 ||
        word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != sign) {
        return std::nullopt;
    }
    return std::pair{word.substr(0, sign), word.substr(sign + 1)};
}

/// Arguments as GRUB hands them to Linux: one text, quoted where an argument has blanks.
std::string join(const Words& words, std::size_t from) {
    std::string line;
    for (std::size_t i = from; i < words.size(); i++) {
        line += line.empty() ? "" : " ";
        line += words[i].find(' ') == std::string::npos ? words[i] : '"' + words[i] + '"';
    }
    return line;
}

} // namespace

bool GrubScript::run_command(const Words& words, const Statement& statement) {
    const std::string& name = words.front();
    if (const auto pair = assignment(name)) {
        assign(pair->first, pair->second);
        return true;
    }
    if (const auto function = functions_.find(name); function != functions_.end()) {
        return call(function->second, {words.begin() + 1, words.end()});
    }
    if (name == "[" || name == "test") {
        Words terms{words.begin() + 1, words.end()};
        if (name == "[" && !terms.empty() && terms.back() == "]") {
            terms.pop_back();
        }
        return evaluate_test(terms,
                             [this](const std::string& path) { return spend(100) && disk_.exists(place(path)); });
    }
    if (one_of(name, {"menuentry", "submenu", "hiddenentry"})) {
        return add_item(words, statement);
    }
    if (one_of(name, {"set", "export", "unset"})) {
        return set(words);
    }
    if (name == "search" || name.starts_with("search.")) {
        return search(words);
    }
    if (name == "probe") {
        return probe(words);
    }
    if (name == "loopback") {
        return loopback(words);
    }
    if (name == "load_env") {
        return load_environment(words);
    }
    if (name == "save_env") {
        return save_environment(words);
    }
    if (one_of(name, {"source", ".", "configfile", "extract_entries_source", "normal"})) {
        return run_file(words, one_of(name, {"configfile", "normal"}));
    }
    if (one_of(name, {"linux", "linux16", "linuxefi", "kernel"})) {
        return load_kernel(words);
    }
    if (one_of(name, {"initrd", "initrd16", "initrdefi"})) {
        return load_initrds(words);
    }
    if (one_of(name, {"module", "module2"})) {
        return load_module(words);
    }
    if (name == "blscfg") {
        return read_bls();
    }
    if (!statement.blocks.empty()) {
        note("its configuration has the command '" + printable(name, 40) +
             "' with a block, which is not known here and was passed over");
        return false;
    }
    // No fonts, no graphics, no keyboard.
    return !one_of(name, {"false", "loadfont", "background_image", "keystatus", "sleep", "cmdline", "regexp"});
}

bool GrubScript::add_item(const Words& words, const Statement& statement) {
    if (statement.blocks.empty() || menu_.size() >= max_items) {
        return false;
    }
    MenuItem item;
    item.is_submenu = words.front() == "submenu";
    item.is_hidden = words.front() == "hiddenentry";
    item.block = statement.blocks.front();
    bool titled = false;
    for (std::size_t i = 1; i < words.size(); i++) {
        const std::string& word = words[i];
        if (one_of(word, {"--id", "--class", "--users", "--hotkey", "--source"}) && i + 1 < words.size()) {
            i++;
            item.id = word == "--id" ? words[i] : item.id;
        } else if (word.starts_with("--id=")) {
            item.id = word.substr(5);
        } else if (!word.starts_with("--")) {
            (titled ? item.arguments.emplace_back() : item.title) = word;
            titled = true;
        }
    }
    if (item.id.empty()) {
        item.id = item.title;
    }
    // $1 in the block is the entry's title.
    item.arguments.insert(item.arguments.begin(), item.title);
    menu_.push_back(std::move(item));
    return true;
}

bool GrubScript::set(const Words& words) {
    for (std::size_t i = 1; i < words.size(); i++) {
        if (words.front() == "unset") {
            variables_.erase(words[i]);
        } else if (const auto pair = assignment(words[i])) {
            assign(pair->first, pair->second);
        }
    }
    return true;
}

/// Makes an image within the image a device; what lies in it cannot be read here, nor may another file stand for it.
bool GrubScript::loopback(const Words& words) {
    for (std::size_t i = 1; i < words.size(); i++) {
        if (words[i] == "-d" || words[i] == "--delete") {
            return true;
        }
        if (!words[i].starts_with('-')) {
            loopbacks_.insert(words[i]);
            return i + 1 < words.size() && spend(100) && disk_.exists(place(words[i + 1]));
        }
    }
    return false;
}

bool GrubScript::load_environment(const Words& words) {
    std::string file = variable("prefix") + "/grubenv";
    Words wanted;
    for (std::size_t i = 1; i < words.size(); i++) {
        if (one_of(words[i], {"-f", "--file"}) && i + 1 < words.size()) {
            file = words[++i];
        } else if (words[i].starts_with("--file=")) {
            file = words[i].substr(7);
        } else if (!words[i].starts_with("-")) {
            wanted.push_back(words[i]);
        }
    }
    const auto text = spend(100) ? disk_.read(place(file)) : std::nullopt;
    if (!text) {
        return false;
    }
    auto pairs = parse_grubenv(*text);
    pairs.insert(pairs.end(), environment_.begin(), environment_.end());
    for (auto& [name, value] : pairs) {
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) {
            assign(name, std::move(value));
        }
    }
    return true;
}

/// Nothing is written, but a later boot may have to know what would have been.
bool GrubScript::save_environment(const Words& words) {
    for (std::size_t i = 1; i < words.size(); i++) {
        if (one_of(words[i], {"-f", "--file"})) {
            i++;
        } else if (!words[i].starts_with("-")) {
            saved_[words[i]] = variable(words[i]);
        }
    }
    return true;
}

bool GrubScript::run_file(const Words& words, bool own_menu) {
    if (words.size() < 2 || ++files_read_ > max_files || !spend(100)) {
        return false;
    }
    const FilePlace file = place(words[1]);
    const auto text = disk_.read(file);
    if (!text) {
        return false;
    }
    const auto script = parse_script(*text);
    if (!script) {
        return stop("'" + printable(file.path) + "': " + script.error().message);
    }
    if (own_menu) {
        menu_.clear();
        set_config_variables(file);
    }
    return call(*script, arguments_);
}

bool GrubScript::load_kernel(const Words& words) {
    if (words.size() < 2) {
        return false;
    }
    request_.kernel = place(words[1]);
    request_.initrds.clear();
    request_.cmdline = join(words, 2);
    return true;
}

bool GrubScript::load_initrds(const Words& words) {
    for (std::size_t i = 1; i < words.size() && request_.initrds.size() < max_initrds; i++) {
        if (words[i].starts_with("newc:")) {
            continue; // a file that GRUB would put into an archive of its own
        }
        request_.initrds.push_back(place(words[i]));
    }
    return true;
}

/// Entries that start Xen name Linux as its first module and the initrd as its second: we take Xen's place.
bool GrubScript::load_module(const Words& words) {
    Words rest{words.begin() + 1, words.end()};
    while (!rest.empty() && rest.front().starts_with("--")) {
        rest.erase(rest.begin());
    }
    if (rest.empty()) {
        return false;
    }
    rest.insert(rest.begin(), words.front());
    if (request_.kernel) {
        rest.resize(2);
        return load_initrds(rest);
    }
    if (rest.size() > 2 && rest[2] == "placeholder") {
        rest.erase(rest.begin() + 2);
    }
    return load_kernel(rest);
}

bool GrubScript::read_bls() {
    std::string folder = variable("blsdir");
    folder = folder.empty() ? "/loader/entries" : folder;
    const auto lookup = [this](const std::string& name) { return value_of(name); };
    FilePlace where = place(folder);
    std::vector<BlsEntry> found;
    // A /boot that is no partition of its own; GRUB's prefix says so only to Fedora's GRUB.
    for (const std::string prefix : {"", "/boot"}) {
        if (found.empty() && spend(1000)) {
            found = read_bls_entries(disk_, {where.volume, prefix + where.path}, lookup);
        }
    }
    std::erase_if(found, [](const BlsEntry& entry) { return entry.boot.kernel.path.empty(); });
    std::vector<BootEntry> entries = in_order(std::move(found));
    for (BootEntry& entry : entries) {
        MenuItem item;
        item.title = entry.title;
        item.id = entry.id;
        item.ready = std::move(entry);
        menu_.push_back(std::move(item));
    }
    return !entries.empty();
}

} // namespace parapet::bootdisk
