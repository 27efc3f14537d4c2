// SPDX-License-Identifier: Apache-2.0
// Microsoft's "PE Format": DOS header, PE signature, COFF header, section table; numbers are little-endian, as this
// machine's are.
#include "vmm/bootdisk/unified_image.hpp"

#include "vmm/bootdisk/number_at.hpp"
#include "vmm/bootdisk/text_lines.hpp"

#include <algorithm>
#include <map>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_header = 64 << 10;
constexpr std::size_t max_images = 100;
constexpr std::size_t max_small_section = 64 << 10; ///< .cmdline, .osrel

constexpr std::size_t pe_offset_at = 0x3c, coff_size = 20, section_size = 40;
constexpr std::uint16_t machine_x64 = 0x8664;

struct Section {
    std::uint32_t offset, length;
};
using Sections = std::map<std::string, Section, std::less<>>;

/// The sections of the image's first profile: those before the first .profile, overridden by those before the second.
std::optional<Sections> sections_of(std::string_view header) {
    const auto pe = number_inside<std::uint32_t>(header, pe_offset_at);
    if (!header.starts_with("MZ") || !pe || *pe >= header.size() ||
        header.substr(*pe, 4) != std::string_view{"PE\0\0", 4}) {
        return std::nullopt;
    }
    const std::size_t coff = *pe + 4;
    const auto machine = number_inside<std::uint16_t>(header, coff);
    const auto count = number_inside<std::uint16_t>(header, coff + 2);
    const auto optional_size = number_inside<std::uint16_t>(header, coff + 16);
    if (machine != machine_x64 || !count || !optional_size) {
        return std::nullopt;
    }
    Sections sections;
    for (std::size_t i = 0, at = coff + coff_size + *optional_size; i < *count; i++, at += section_size) {
        const auto memory_size = number_inside<std::uint32_t>(header, at + 8);
        const auto file_size = number_inside<std::uint32_t>(header, at + 16);
        const auto offset = number_inside<std::uint32_t>(header, at + 20);
        if (!memory_size || !file_size || !offset) {
            return std::nullopt;
        }
        std::string name{header.substr(at, 8)};
        name.resize(std::min(name.size(), name.find('\0')));
        if (name == ".profile" && sections.count(name) != 0) {
            break;
        }
        // In the file a section is filled up to its alignment; what is longer in memory is zero there.
        sections[name] = {*offset, std::min(*memory_size, *file_size)};
    }
    return sections;
}

std::string read_section(DiskFiles& disk, const FilePlace& image, const Sections& sections, std::string_view name) {
    const auto found = sections.find(name);
    if (found == sections.end() || found->second.length == 0 || found->second.length > max_small_section) {
        return {};
    }
    std::string text =
        disk.read({image.volume, image.path, found->second.offset, found->second.length}).value_or(std::string{});
    text.resize(std::min(text.size(), text.find('\0')));
    return text;
}

/// As systemd-stub hands it on: lines are one line, blanks at the ends are gone.
std::string cmdline_of(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
    return std::string{trimmed(text)};
}

/// The first of these that an os-release has.
std::string value_in(std::string_view os_release, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        for (const std::string_view line : lines_of(os_release)) {
            if (!line.starts_with(name) || line.substr(name.size(), 1) != "=") {
                continue;
            }
            std::string_view value = line.substr(name.size() + 1);
            if (value.size() >= 2 && value.front() == value.back() && (value.front() == '"' || value.front() == '\'')) {
                value = value.substr(1, value.size() - 2);
            }
            if (!value.empty()) {
                return std::string{value};
            }
        }
    }
    return {};
}

void name_entry(BlsEntry& entry, const FilePlace& image, const std::string& os_release) {
    std::string name = image.path.substr(image.path.rfind('/') + 1);
    const std::size_t dot = name.rfind('.');
    std::string ending = dot == std::string::npos ? "" : name.substr(dot);
    name.resize(std::min(name.size(), dot));
    entry.counter = take_counter(name);
    entry.boot.id = name + ending;
    entry.version = value_in(os_release, {"IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"});
    entry.sort_key = value_in(os_release, {"IMAGE_ID", "ID"});
    entry.boot.title = value_in(os_release, {"PRETTY_NAME", "IMAGE_ID", "NAME", "ID"});
    if (entry.boot.title.empty()) {
        entry.boot.title = entry.boot.id;
    }
}

} // namespace

std::optional<BlsEntry> read_unified_image(DiskFiles& disk, const FilePlace& image) {
    const auto header = disk.read({image.volume, image.path, 0, max_header});
    const auto sections = header ? sections_of(*header) : std::nullopt;
    const auto kernel = sections ? sections->find(".linux") : Sections::const_iterator{};
    if (!sections || kernel == sections->end() || kernel->second.length == 0) {
        return std::nullopt;
    }
    const auto place = [&](const Section& section) {
        return FilePlace{image.volume, image.path, section.offset, section.length};
    };
    BlsEntry entry;
    entry.boot.kernel = place(kernel->second);
    for (const char* name : {".ucode", ".initrd"}) {
        if (const auto found = sections->find(name); found != sections->end() && found->second.length > 0) {
            entry.boot.initrds.push_back(place(found->second));
        }
    }
    entry.boot.cmdline = cmdline_of(read_section(disk, image, *sections, ".cmdline"));
    name_entry(entry, image, read_section(disk, image, *sections, ".osrel"));
    return entry;
}

std::vector<BlsEntry> read_unified_images(DiskFiles& disk, const FilePlace& folder) {
    std::vector<BlsEntry> entries;
    for (const std::string& name : disk.list(folder)) {
        const std::size_t dot = name.rfind('.');
        std::string ending = dot == std::string::npos ? "" : name.substr(dot);
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
        if (ending != ".efi" || entries.size() == max_images) {
            continue;
        }
        if (auto entry = read_unified_image(disk, {folder.volume, folder.path + "/" + name})) {
            entries.push_back(*std::move(entry));
        }
    }
    return entries;
}

} // namespace parapet::bootdisk
