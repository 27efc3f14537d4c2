// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/command_options.hpp"

#include <algorithm>
#include <string_view>

namespace parapet::bootdisk {
namespace {

using Value = CommandOption::Value;
using Options = std::initializer_list<CommandOption>;

class OptionParser {
public:
    OptionParser(const std::vector<std::string>& words, Options options, bool lenient)
        : words_{words}, options_(options), lenient_{lenient} {}

    std::optional<ParsedOptions> parse() {
        for (at_ = 1; at_ < words_.size(); at_++) {
            const std::string& word = words_[at_];
            if (word == "--") {
                result_.words.insert(result_.words.end(), words_.begin() + static_cast<std::ptrdiff_t>(at_) + 1,
                                     words_.end());
                break;
            }
            const bool fine = word.size() < 2 || word[0] != '-' ? take_word(word)
                              : word[1] == '-'                  ? take_long(word)
                                                                : take_letters(word);
            if (!fine) {
                return std::nullopt;
            }
        }
        return std::move(result_);
    }

private:
    bool take_word(const std::string& word) {
        result_.words.push_back(word);
        return true;
    }

    bool take(const CommandOption& option, const std::optional<std::string>& value) {
        if (value ? option.value == Value::none : option.value == Value::wanted) {
            return false;
        }
        auto& values = result_.given[option.name];
        if (value) {
            values.push_back(*value);
        }
        return true;
    }

    /// A value of a long option stands behind its "=" and nowhere else.
    bool take_long(const std::string& word) {
        const std::size_t sign = word.find('=');
        const std::string name = word.substr(2, sign == std::string::npos ? sign : sign - 2);
        const auto* option = std::find_if(options_.begin(), options_.end(),
                                          [&](const CommandOption& candidate) { return name == candidate.name; });
        if (option == options_.end()) {
            return lenient_ && take_word(word);
        }
        return take(*option, sign == std::string::npos ? std::nullopt : std::optional{word.substr(sign + 1)});
    }

    [[nodiscard]] const CommandOption* find(char letter) const {
        const auto* option = std::find_if(options_.begin(), options_.end(),
                                          [&](const CommandOption& candidate) { return letter == candidate.letter; });
        return option == options_.end() ? nullptr : option;
    }

    /// The last letter's value is the next word.
    bool take_letters(const std::string& word) {
        const bool known = std::all_of(word.begin() + 1, word.end(), [&](char c) { return find(c) != nullptr; });
        if (!known) {
            return lenient_ && take_word(word);
        }
        for (std::size_t i = 1; i + 1 < word.size(); i++) {
            if (!take(*find(word[i]), {})) {
                return false;
            }
        }
        const CommandOption& last = *find(word.back());
        std::optional<std::string> value;
        if (last.value != Value::none && at_ + 1 < words_.size()) {
            const std::string& next = words_[at_ + 1];
            if (last.value == Value::wanted || next.size() < 2 || next[0] != '-') {
                value = next;
                at_++;
            }
        }
        return take(last, value);
    }

    const std::vector<std::string>& words_;
    Options options_;
    bool lenient_;
    std::size_t at_ = 1;
    ParsedOptions result_;
};

} // namespace

std::optional<ParsedOptions> parse_options(const std::vector<std::string>& words, Options options, bool lenient) {
    return OptionParser{words, options, lenient}.parse();
}

} // namespace parapet::bootdisk
