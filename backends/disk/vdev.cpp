// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/vdev.hpp"

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

namespace parapet::disk {
namespace {

constexpr VdevNumber xvd_major = 202, sd_major = 8, first_hd_major = 3, second_hd_major = 22;
constexpr VdevNumber extended = 1u << 28;
constexpr unsigned most_xvd_disks = 1u << 20, most_xvd_partitions = 256;
constexpr VdevNumber most = std::numeric_limits<int>::max(); // xenstore's tools read an int

struct DiskAndPartition {
    std::uint64_t disk = 0, partition = 0;
};

/// A decimal number without sign or leading zeros, at the start of `text`, which it is cut off.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto length = static_cast<std::size_t>(end - text.data());
    if (error != std::errc{} || (text[0] == '0' && length > 1)) {
        return std::nullopt;
    }
    text.remove_prefix(length);
    return number;
}

/// "a", "z", "aa", ... and a partition ("b7"): bijective base 26.
std::optional<DiskAndPartition> letters_and_partition(std::string_view text) {
    std::uint64_t disk = 0;
    std::size_t letters = 0;
    for (; letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z'; ++letters) {
        disk = disk * 26 + static_cast<std::uint64_t>(text[letters] - 'a' + 1);
        if (disk > most_xvd_disks) {
            return std::nullopt;
        }
    }
    if (letters == 0) {
        return std::nullopt;
    }
    text.remove_prefix(letters);
    DiskAndPartition result{disk - 1, 0};
    if (!text.empty()) {
        const auto partition = take_number(text);
        if (!partition || *partition == 0 || !text.empty()) {
            return std::nullopt;
        }
        result.partition = *partition;
    }
    return result;
}

/// "5", "5p2"
std::optional<DiskAndPartition> numbers(std::string_view text) {
    const auto disk = take_number(text);
    if (!disk) {
        return std::nullopt;
    }
    if (text.empty()) {
        return DiskAndPartition{*disk, 0};
    }
    if (text[0] != 'p') {
        return std::nullopt;
    }
    text.remove_prefix(1);
    const auto partition = take_number(text);
    if (!partition || !text.empty()) {
        return std::nullopt;
    }
    return DiskAndPartition{*disk, *partition};
}

std::optional<VdevNumber> xvd_number(DiskAndPartition which) {
    if (which.disk >= most_xvd_disks || which.partition >= most_xvd_partitions) {
        return std::nullopt;
    }
    const auto disk = static_cast<VdevNumber>(which.disk), partition = static_cast<VdevNumber>(which.partition);
    return disk < 16 && partition < 16 ? xvd_major << 8 | disk << 4 | partition : extended | disk << 8 | partition;
}

std::optional<VdevNumber> sd_number(DiskAndPartition which) {
    if (which.disk >= 16 || which.partition >= 16) {
        return std::nullopt;
    }
    return sd_major << 8 | static_cast<VdevNumber>(which.disk << 4 | which.partition);
}

std::optional<VdevNumber> hd_number(DiskAndPartition which) {
    if (which.disk >= 4 || which.partition >= 64) {
        return std::nullopt;
    }
    const VdevNumber major = which.disk < 2 ? first_hd_major : second_hd_major;
    return major << 8 | static_cast<VdevNumber>((which.disk & 1) << 6 | which.partition);
}

std::optional<VdevNumber> plain_number(std::string_view text) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    text.remove_prefix(hex ? 2 : 0);
    VdevNumber number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, hex ? 16 : 10);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0 || number > most) {
        return std::nullopt;
    }
    return number;
}

std::optional<VdevNumber> any_number(std::string_view text) {
    const auto of = [&](std::size_t prefix, auto parse, auto number) -> std::optional<VdevNumber> {
        const auto which = parse(text.substr(prefix));
        return which ? number(*which) : std::nullopt;
    };
    if (text.starts_with("xvd")) {
        return of(3, letters_and_partition, xvd_number);
    }
    if (text.starts_with("sd")) {
        return of(2, letters_and_partition, sd_number);
    }
    if (text.starts_with("hd")) {
        return of(2, letters_and_partition, hd_number);
    }
    if (text.starts_with("d")) {
        return of(1, numbers, xvd_number);
    }
    return plain_number(text);
}

std::string letters(unsigned disk) {
    std::string text;
    for (unsigned rest = disk + 1; rest > 0; rest = (rest - 1) / 26) {
        text.insert(text.begin(), static_cast<char>('a' + (rest - 1) % 26));
    }
    return text;
}

std::string name(const char* kind, unsigned disk, unsigned partition) {
    return kind + letters(disk) + (partition == 0 ? "" : std::to_string(partition));
}

} // namespace

Result<VdevNumber> parse_vdev(std::string_view text) {
    if (const auto number = any_number(text)) {
        return *number;
    }
    return Error{"'" + std::string{text} + "' is no virtual device; use xvda, xvda1, sdb, hdc, d0p1 or a number"};
}

std::string vdev_name(VdevNumber number) {
    if (number >> 28 == 1) {
        return name("xvd", (number & (extended - 1)) >> 8, number & 0xff);
    }
    switch (number >> 8) {
    case xvd_major:
        return name("xvd", (number & 0xff) >> 4, number & 0xf);
    case sd_major:
        return name("sd", (number & 0xff) >> 4, number & 0xf);
    case first_hd_major:
    case second_hd_major: {
        const unsigned disk = (number & 0xff) >> 6;
        if (disk < 2) {
            return name("hd", disk + (number >> 8 == second_hd_major ? 2 : 0), number & 0x3f);
        }
        break;
    }
    default:
        break;
    }
    return std::to_string(number);
}

VdevNumber xvd_disk(unsigned index) {
    return index < 16 ? xvd_major << 8 | index << 4 : extended | index << 8;
}

} // namespace parapet::disk
