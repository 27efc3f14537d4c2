// SPDX-License-Identifier: Apache-2.0
// RATE of xl-network-configuration(5): a number, [GMK] (of 1000), 'b' or 'B', "/s", and perhaps "@" with an interval in
// s, ms or us (50ms without). The credit of one interval is what the backend enforces.
#include "backends/net/vif_spec.hpp"

#include <charconv>
#include <limits>

namespace parapet::net {

namespace {

/// Takes a number from the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) {
        return false;
    }
    text.remove_prefix(prefix.size());
    return true;
}

std::optional<std::uint64_t> bytes_per_second(std::string_view text) {
    auto number = take_number(text);
    const std::uint64_t unit = take(text, "G")   ? 1'000'000'000
                               : take(text, "M") ? 1'000'000
                               : take(text, "K") ? 1000
                                                 : 1;
    const bool bits = take(text, "b");
    if (!number || (!bits && !take(text, "B")) || text != "/s" ||
        *number > std::numeric_limits<std::uint64_t>::max() / unit) {
        return std::nullopt;
    }
    return *number * unit / (bits ? 8 : 1);
}

std::optional<std::uint64_t> microseconds(std::string_view text) {
    const auto number = take_number(text);
    const std::uint64_t unit = text == "us" ? 1 : text == "ms" ? 1000 : text == "s" ? 1'000'000 : 0;
    if (!number || unit == 0 || *number == 0 || *number > most_rate_interval_us / unit) {
        return std::nullopt;
    }
    return *number * unit;
}

} // namespace

Result<VifRate> parse_rate(std::string_view text) {
    const std::size_t at = text.find('@');
    const auto speed = bytes_per_second(text.substr(0, at));
    const std::string shown{text};
    if (!speed) {
        return Error{"rate=" + shown + " is no rate; write it as in 10Mb/s or 1MB/s@20ms ([GMK]b/s or [GMK]B/s)"};
    }
    VifRate rate;
    if (at != std::string_view::npos) {
        const auto interval = microseconds(text.substr(at + 1));
        if (!interval) {
            return Error{"rate=" + shown + ": the interval after @ is a number of us, ms or s up to a minute"};
        }
        rate.interval_us = *interval;
    }
    const bool countable = *speed <= std::numeric_limits<std::uint64_t>::max() / rate.interval_us;
    rate.bytes = countable ? *speed * rate.interval_us / 1'000'000 : 0;
    if (!countable || rate.bytes > most_rate_bytes) {
        return Error{"rate=" + shown + " is more than can be counted; leave rate= out for no limit"};
    }
    if (rate.bytes == 0) {
        return Error{"rate=" + shown +
                     " lets less than a byte pass in each interval; give a higher rate or a "
                     "longer interval"};
    }
    return rate;
}

} // namespace parapet::net
