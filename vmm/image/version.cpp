// SPDX-License-Identifier: Apache-2.0
// Looks for linux_banner, a window at a time, so that a file need not be held in memory.
#include "vmm/image/version.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

constexpr std::string_view banner = "Linux version ";
constexpr size_t longest_line = 256;
constexpr size_t window_size = 1U << 20;

/// The banner's rest within a window, if its version starts with a digit (its format string does not).
std::string search(std::span<const std::byte> window) {
    std::string_view text{reinterpret_cast<const char*>(window.data()), window.size()};
    for (size_t at = text.find(banner); at != std::string_view::npos; at = text.find(banner, at + 1)) {
        const size_t version = at + banner.size();
        if (version < text.size() && text[version] >= '0' && text[version] <= '9') {
            std::string_view line = text.substr(version, longest_line);
            line = line.substr(0, line.find('\n'));
            return text_of(std::as_bytes(std::span{line}));
        }
    }
    return {};
}

} // namespace

std::string find_linux_version(const ByteSource& elf, const std::vector<Segment>& segments) {
    constexpr size_t overlap = banner.size() + longest_line;
    std::vector<std::byte> window;
    for (const Segment& segment : segments) {
        for (uint64_t at = 0; at < segment.file_size; at += window_size) {
            window.resize(std::min<uint64_t>(window_size + overlap, segment.file_size - at));
            if (!elf.read(segment.offset + at, window))
                return {};
            if (std::string version = search(window); !version.empty())
                return version;
        }
    }
    return {};
}

} // namespace parapet::image
