// SPDX-License-Identifier: Apache-2.0
// Line-oriented configuration files: words, and lines that begin with a key.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace parapet::bootdisk {

inline constexpr std::string_view blanks = " \t\r";

inline std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// The first word, taken off the front together with the blanks around it.
inline std::string_view take_word(std::string_view& text) {
    text = trimmed(text);
    const std::string_view word = text.substr(0, text.find_first_of(blanks));
    text = trimmed(text.substr(word.size()));
    return word;
}

inline std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) {
        words.push_back(word);
    }
    return words;
}

inline std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        lines.push_back(trimmed(text.substr(0, end)));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

/// Lines "key value"; empty ones and comments are left out.
inline std::vector<std::pair<std::string_view, std::string_view>> keyed_lines(std::string_view text) {
    std::vector<std::pair<std::string_view, std::string_view>> result;
    for (std::string_view line : lines_of(text)) {
        if (!line.empty() && line.front() != '#') {
            const std::string_view key = take_word(line);
            result.emplace_back(key, line);
        }
    }
    return result;
}

} // namespace parapet::bootdisk
