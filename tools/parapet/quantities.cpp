// SPDX-License-Identifier: Apache-2.0
// Parsing of sizes and durations.
#include "tools/parapet/quantities.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <utility>

namespace parapet::cli {
namespace {

struct Number {
    std::uint64_t value;
    std::string_view suffix;
};

/// A whole decimal number and what follows it.
bool split(std::string_view text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number.value);
    number.suffix = text.substr(static_cast<std::size_t>(end - text.data()));
    return error == std::errc{};
}

std::string lower(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

Error bad_size(std::string_view text) {
    return Error{"'" + std::string{text} + "' is not a size: write a whole number with K, M, G or T, like 512M"};
}

Error bad_duration(std::string_view text) {
    return Error{"'" + std::string{text} + "' is not a duration: write a whole number with ms, s, m or h, like 90s"};
}

} // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    Number number{};
    if (!split(text, number)) {
        return bad_size(text);
    }
    std::string suffix = lower(number.suffix);
    unsigned shift = 20;
    if (suffix == "b") {
        shift = 0;
    } else if (!suffix.empty()) {
        const auto unit = std::string_view{"kmgt"}.find(suffix.front());
        suffix.erase(0, 1);
        if (unit == std::string_view::npos || (!suffix.empty() && suffix != "b" && suffix != "ib")) {
            return bad_size(text);
        }
        shift = 10 * (static_cast<unsigned>(unit) + 1);
    }
    if (number.value == 0) {
        return Error{"a size of '" + std::string{text} + "' is nothing: write a number above 0"};
    }
    if (number.value > (std::uint64_t{1} << 63 >> shift)) {
        return Error{"a size of '" + std::string{text} + "' is beyond any machine: write a smaller number"};
    }
    return number.value << shift;
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    using namespace std::chrono_literals;
    static constexpr std::array<std::pair<std::string_view, std::chrono::nanoseconds>, 5> units{
        {{"", 1s}, {"s", 1s}, {"ms", 1ms}, {"m", 1min}, {"h", 1h}}};
    static constexpr std::chrono::nanoseconds longest = 10 * 365 * 24h;
    Number number{};
    if (!split(text, number)) {
        return bad_duration(text);
    }
    const auto unit =
        std::find_if(units.begin(), units.end(), [&](const auto& entry) { return entry.first == number.suffix; });
    if (unit == units.end()) {
        return bad_duration(text);
    }
    if (number.value == 0) {
        return Error{"a duration of '" + std::string{text} + "' is nothing: write a number above 0"};
    }
    if (number.value > static_cast<std::uint64_t>(longest / unit->second)) {
        return Error{"a duration of '" + std::string{text} + "' is beyond 10 years: write a smaller one"};
    }
    return unit->second * static_cast<std::int64_t>(number.value);
}

std::string format_size(std::uint64_t bytes) {
    static constexpr std::string_view units = "BKMGT";
    std::size_t unit = 0;
    while (unit + 1 < units.size() && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        ++unit;
    }
    return std::to_string(bytes) + units[unit];
}

} // namespace parapet::cli
