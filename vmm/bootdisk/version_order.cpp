// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/version_order.hpp"

#include <algorithm>

namespace parapet::bootdisk {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool only_separates(char c) {
    return !is_digit(c) && !is_letter(c) && std::string_view{"-~^."}.find(c) == std::string_view::npos;
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

/// The one of the two that begins with `mark` is older. Takes it off both.
int compare_mark(char mark, std::string_view& a, std::string_view& b) {
    const int order = static_cast<int>(b.starts_with(mark)) - static_cast<int>(a.starts_with(mark));
    if (order == 0 && a.starts_with(mark)) {
        a.remove_prefix(1);
        b.remove_prefix(1);
    }
    return order;
}

} // namespace

int compare_versions(std::string_view a, std::string_view b) {
    while (true) {
        take_while(a, only_separates);
        take_while(b, only_separates);
        if (const int order = compare_mark('~', a, b); order != 0) {
            return order;
        }
        if (a.empty() || b.empty()) {
            return static_cast<int>(!a.empty()) - static_cast<int>(!b.empty());
        }
        for (const char mark : {'-', '^', '.'}) {
            if (const int order = compare_mark(mark, a, b); order != 0) {
                return order;
            }
        }
        const bool number = (!a.empty() && is_digit(a.front())) || (!b.empty() && is_digit(b.front()));
        const auto test = number ? is_digit : is_letter;
        const std::string_view part_a = take_while(a, test);
        const std::string_view part_b = take_while(b, test);
        if (number && part_a.empty() != part_b.empty()) {
            return part_a.empty() ? -1 : 1; // a number is newer than a letter or nothing
        }
        if (const int order = number ? compare_numbers(part_a, part_b) : part_a.compare(part_b); order != 0) {
            return order;
        }
    }
}

} // namespace parapet::bootdisk
