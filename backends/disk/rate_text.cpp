// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/rate_text.hpp"

#include <charconv>
#include <limits>

namespace parapet::disk {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();

bool take(std::string_view& text, std::string_view what) {
    if (!text.ends_with(what)) {
        return false;
    }
    text.remove_suffix(what.size());
    return true;
}

/// K, M, G, T at the end: their power.
unsigned take_power(std::string_view& text) {
    constexpr std::string_view prefixes = "KMGT";
    if (text.empty()) {
        return 0;
    }
    const char last = text.back() == 'k' ? 'K' : text.back();
    const auto at = prefixes.find(last);
    if (at == std::string_view::npos) {
        return 0;
    }
    text.remove_suffix(1);
    return static_cast<unsigned>(at) + 1;
}

std::optional<std::uint64_t> scaled(std::string_view digits, std::uint64_t base, unsigned power) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number == 0) {
        return std::nullopt;
    }
    for (; power > 0; --power) {
        if (number > most / base) {
            return std::nullopt;
        }
        number *= base;
    }
    return number <= most ? std::optional{number} : std::nullopt;
}

} // namespace

std::optional<std::uint64_t> parse_byte_rate(std::string_view text) {
    take(text, "/s");
    const bool bits = take(text, "b");
    const bool bytes = !bits && take(text, "B");
    const bool binary = (bits || bytes) && take(text, "i");
    const unsigned power = take_power(text);
    if (binary && power == 0) {
        return std::nullopt;
    }
    const auto number = scaled(text, binary ? 1024 : 1000, power);
    if (!number || !bits) {
        return number;
    }
    return *number >= 8 ? std::optional{*number / 8} : std::nullopt;
}

std::optional<std::uint64_t> parse_count_rate(std::string_view text) {
    take(text, "/s");
    const unsigned power = take_power(text);
    return scaled(text, 1000, power);
}

} // namespace parapet::disk
