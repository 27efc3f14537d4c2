// SPDX-License-Identifier: Apache-2.0
// Running the tree: variables, conditions, functions. What single commands do stands in grub_commands.cpp.
#include "vmm/bootdisk/grub_script.hpp"

#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <utility>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_steps = 200000;
constexpr std::size_t max_value = 16384;
constexpr std::size_t max_words = 4096;
constexpr unsigned max_calls = 40;

} // namespace

GrubScript::GrubScript(DiskFiles& disk, FilePlace config, Environment saved)
    : disk_{disk}, config_{std::move(config)}, steps_left_{max_steps}, environment_{std::move(saved)} {
    variables_ = {{"root", disk_.volumes().at(config_.volume).name}, {"grub_platform", "xen"}, {"grub_cpu", "x86_64"}};
    set_config_variables(config_);
    variables_["prefix"] = variables_["config_directory"];
    // What configurations made by grub-mkconfig ask the GRUB that reads them.
    for (const char* feature :
         {"chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module", "menuentry_id",
          "menuentry_options", "200_final", "nativedisk_cmd", "timeout_style"}) {
        variables_.emplace(std::string{"feature_"} + feature, "y");
    }
}

void GrubScript::set_config_variables(const FilePlace& file) {
    std::string name{"("};
    name.append(disk_.volumes().at(file.volume).name).append(")").append(file.path);
    assign("config_directory", name.substr(0, name.rfind('/')));
    assign("config_file", std::move(name));
}

Result<void> GrubScript::run() {
    const auto text = disk_.read(config_);
    if (!text) {
        return Error{"it cannot be read"};
    }
    const auto script = parse_script(*text);
    if (!script) {
        return script.error();
    }
    run_block(**script);
    saved_at_top_ = saved_;
    return failure_.empty() ? Result<void>{} : Error{failure_};
}

std::string GrubScript::variable(const std::string& name) const {
    const auto found = variables_.find(name);
    return found == variables_.end() ? std::string{} : found->second;
}

Result<std::vector<MenuItem>> GrubScript::open_submenu(const MenuItem& item) {
    const auto outer = std::exchange(menu_, {});
    const auto before = variables_;
    call(item.block, item.arguments);
    variables_ = before;
    auto entries = std::exchange(menu_, outer);
    if (!failure_.empty()) {
        return Error{failure_};
    }
    return entries;
}

Result<LoadRequest> GrubScript::run_entry(const MenuItem& item) {
    request_ = {};
    saved_ = saved_at_top_;
    const auto before = variables_;
    call(item.block, item.arguments);
    variables_ = before;
    if (!failure_.empty()) {
        return Error{failure_};
    }
    return std::exchange(request_, {});
}

bool GrubScript::stop(std::string reason) {
    if (failure_.empty()) {
        failure_ = std::move(reason);
    }
    return false;
}

bool GrubScript::spend(std::size_t steps) {
    if (!failure_.empty()) {
        return false;
    }
    if (steps > steps_left_) {
        return stop("it does not come to an end");
    }
    steps_left_ -= steps;
    return true;
}

bool GrubScript::run_block(const Block& block) {
    bool status = true;
    for (const Statement& statement : block) {
        if (!spend(1)) {
            return false;
        }
        status = run_statement(statement);
    }
    return status;
}

bool GrubScript::run_statement(const Statement& statement) {
    switch (statement.kind) {
    case Statement::Kind::branch:
        return run_branch(statement);
    case Statement::Kind::loop:
        return run_loop(statement);
    case Statement::Kind::function: {
        const auto name = expand(statement.words);
        if (!name.empty()) {
            functions_[name.front()] = statement.blocks.front();
        }
        return true;
    }
    case Statement::Kind::skipped:
        return true;
    case Statement::Kind::command:
        break;
    }
    const auto words = expand(statement.words);
    return words.empty() || run_command(words, statement);
}

bool GrubScript::run_branch(const Statement& statement) {
    const auto& blocks = statement.blocks;
    for (std::size_t i = 0; i + 1 < blocks.size(); i += 2) {
        if (run_block(*blocks[i])) {
            return run_block(*blocks[i + 1]);
        }
        if (!failure_.empty()) {
            return false;
        }
    }
    return blocks.size() % 2 == 0 || run_block(*blocks.back());
}

bool GrubScript::run_loop(const Statement& statement) {
    auto words = expand(statement.words);
    if (words.empty()) {
        return true;
    }
    const std::string name = words.front();
    words.erase(words.begin());
    if (!words.empty() && words.front() == "in") {
        words.erase(words.begin());
    }
    bool status = true;
    for (std::string& word : words) {
        if (!spend(1)) {
            return false;
        }
        assign(name, std::move(word));
        status = run_block(*statement.blocks.front());
    }
    return status;
}

/// The body by value: it may define the function that it is of anew.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
bool GrubScript::call(std::shared_ptr<const Block> body, std::vector<std::string> arguments) {
    if (depth_ >= max_calls) {
        return stop("its functions call each other without end");
    }
    depth_++;
    const auto outer = std::exchange(arguments_, std::move(arguments));
    const bool status = run_block(*body);
    arguments_ = outer;
    depth_--;
    return status;
}

std::string GrubScript::value_of(const std::string& name) const {
    if (name == "?") {
        return "0";
    }
    if (name == "#") {
        return std::to_string(arguments_.size());
    }
    if (name == "@" || name == "*") {
        std::string all;
        for (const std::string& argument : arguments_) {
            all.append(all.empty() ? "" : " ").append(argument);
        }
        return all;
    }
    if (name.size() == 1 && name[0] >= '1' && name[0] <= '9') {
        const auto index = static_cast<std::size_t>(name[0] - '1');
        return index < arguments_.size() ? arguments_[index] : std::string{};
    }
    return variable(name);
}

std::vector<std::string> GrubScript::expand(const std::vector<Word>& words) {
    std::vector<std::string> result;
    std::size_t length = 0;
    for (const Word& word : words) {
        std::string current;
        bool present = false; // an unquoted variable without a value leaves no word behind
        for (const WordPart& part : word) {
            if (part.kind == WordPart::Kind::text) {
                current += part.text;
                present = true;
                continue;
            }
            const std::string value = value_of(part.text);
            present = present || part.quoted;
            for (const char c : value) {
                if (!part.quoted && (c == ' ' || c == '\t' || c == '\n')) {
                    if (present) {
                        result.push_back(std::exchange(current, {}));
                    }
                    present = false;
                } else {
                    current.push_back(c);
                    present = true;
                }
            }
        }
        length += current.size();
        if (present) {
            result.push_back(std::move(current));
        }
        if (result.size() > max_words || length > DiskFiles::max_text || !spend(1 + length / max_value)) {
            stop("a command of it is too long");
            return {};
        }
    }
    return result;
}

void GrubScript::assign(const std::string& name, std::string value) {
    if (value.size() > max_value || (variables_.size() > max_words && variables_.count(name) == 0)) {
        stop("its variables are too long or too many");
        return;
    }
    variables_[name] = std::move(value);
}

void GrubScript::note(std::string sentence) {
    constexpr std::size_t max_notes = 3;
    if (notes_.size() < max_notes && std::find(notes_.begin(), notes_.end(), sentence) == notes_.end()) {
        notes_.push_back(std::move(sentence));
    }
}

std::size_t GrubScript::device(const std::string& name, std::size_t otherwise) const {
    return loopbacks_.count(name) != 0 ? FilePlace::nowhere : volume_of(disk_.volumes(), name, otherwise);
}

std::size_t GrubScript::root() const {
    std::string name = variable("root");
    if (name.size() > 1 && name.front() == '(' && name.back() == ')') {
        name = name.substr(1, name.size() - 2);
    }
    return name.empty() ? config_.volume : device(name, config_.volume);
}

/// A file of a device that is not on this disk is nowhere, and named in full.
FilePlace GrubScript::place(const std::string& text) const {
    const std::size_t end = text.starts_with('(') ? text.find(')') : std::string::npos;
    FilePlace place{root(), text};
    if (end != std::string::npos) {
        place.volume = device(text.substr(1, end - 1), place.volume);
        place.path = text.substr(end + 1);
    }
    if (place.volume == FilePlace::nowhere) {
        place.path = end != std::string::npos ? text : "(" + variable("root") + ")" + text;
    } else if (!place.path.starts_with('/')) {
        place.path.insert(place.path.begin(), '/');
    }
    return place;
}

} // namespace parapet::bootdisk
