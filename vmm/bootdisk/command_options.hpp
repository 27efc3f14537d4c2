// SPDX-License-Identifier: Apache-2.0
// Options of GRUB's commands, taken apart as its own parser does: which words are values depends on how they are
// written.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

struct CommandOption {
    const char* name; ///< "set" of --set
    char letter;      ///< of -s; 0: none
    enum class Value { none, wanted, optional } value = Value::none;
};

struct ParsedOptions {
    std::map<std::string, std::vector<std::string>> given; ///< by name; without values where none was given
    std::vector<std::string> words;                        ///< what is no option

    [[nodiscard]] bool has(const char* name) const { return given.count(name) != 0; }
    [[nodiscard]] std::optional<std::string> value(const char* name) const {
        const auto found = given.find(name);
        return found == given.end() || found->second.empty() ? std::nullopt : std::optional{found->second.back()};
    }
};

/// Nothing: GRUB would refuse the command. `lenient`: unknown options are words, as `search` has it.
std::optional<ParsedOptions> parse_options(const std::vector<std::string>& words,
                                           std::initializer_list<CommandOption> options, bool lenient);

} // namespace parapet::bootdisk
