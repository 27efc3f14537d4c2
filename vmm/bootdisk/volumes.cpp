// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace parapet::bootdisk {
namespace {

bool same_letters(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// The number at the end of "gpt1", "msdos1" or "1".
std::optional<unsigned> partition_number(std::string_view partition) {
    const std::size_t digits = partition.find_first_of("0123456789");
    if (digits == std::string_view::npos) {
        return std::nullopt;
    }
    unsigned number = 0;
    const char* end = partition.data() + partition.size();
    const auto [stop, error] = std::from_chars(partition.data() + digits, end, number);
    if (error != std::errc{} || stop != end) {
        return std::nullopt;
    }
    return number;
}

template <typename Test>
std::optional<std::size_t> index_where(const std::vector<Volume>& volumes, Test test) {
    const auto found = std::find_if(volumes.begin(), volumes.end(), test);
    if (found == volumes.end()) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - volumes.begin());
}

} // namespace

std::optional<std::size_t> find_device(const std::vector<Volume>& volumes, std::string_view name, bool legacy) {
    const auto exact = index_where(volumes, [&](const Volume& volume) { return volume.name == name; });
    if (exact) {
        return exact;
    }
    const std::size_t comma = name.find(',');
    if (comma == std::string_view::npos) {
        return index_where(volumes, [&](const Volume& volume) {
            return name.starts_with("hd") && volume.name.find_first_of(",/") == std::string::npos;
        });
    }
    const auto wanted = partition_number(name.substr(comma + 1));
    if (!wanted) {
        return std::nullopt;
    }
    const unsigned number = *wanted + (legacy ? 1 : 0);
    return index_where(volumes, [&](const Volume& volume) {
        const std::size_t at = volume.name.find(',');
        return at != std::string::npos && partition_number(std::string_view{volume.name}.substr(at + 1)) == number;
    });
}

std::optional<std::size_t> find_uuid(const std::vector<Volume>& volumes, std::string_view uuid) {
    return index_where(volumes, [&](const Volume& volume) { return !uuid.empty() && same_letters(volume.uuid, uuid); });
}

std::optional<std::size_t> find_label(const std::vector<Volume>& volumes, std::string_view label) {
    return index_where(volumes, [&](const Volume& volume) { return !label.empty() && volume.label == label; });
}

std::size_t volume_of(const std::vector<Volume>& volumes, std::string_view name, std::size_t otherwise, bool legacy) {
    if (const auto found = find_device(volumes, name, legacy)) {
        return *found;
    }
    for (const std::string_view kind : {"hd", "lvm", "md", "xen/", "ahci", "ata", "scsi", "usb", "fd"}) {
        if (name.starts_with(kind)) {
            return otherwise;
        }
    }
    return FilePlace::nowhere;
}

FilePlace place_of(const std::vector<Volume>& volumes, std::string_view text, std::size_t root, bool legacy) {
    FilePlace place{root, std::string{text}};
    if (text.starts_with('(')) {
        const std::size_t end = text.find(')');
        if (end != std::string_view::npos) {
            place.volume = volume_of(volumes, text.substr(1, end - 1), root, legacy);
            place.path = text.substr(place.volume == FilePlace::nowhere ? 0 : end + 1);
        }
    }
    if (place.volume != FilePlace::nowhere && !place.path.starts_with('/')) {
        place.path.insert(place.path.begin(), '/');
    }
    return place;
}

std::string printable(std::string_view text, std::size_t longest) {
    std::string result;
    unsigned following = 0; // bytes of a character in UTF-8 that has begun
    for (std::size_t i = 0; i < std::min(text.size(), longest); i++) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool follows = (c & 0xc0) == 0x80;
        // U+0080 to U+009F are control characters as well; terminals obey them.
        const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        const bool bad = c < 0x20 || c == 0x7f || c1 || (follows && following == 0);
        following = bad ? 0 : follows ? following - 1 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        result.push_back(bad ? '?' : text[i]);
    }
    return text.size() > longest ? result + "..." : result;
}

} // namespace parapet::bootdisk
