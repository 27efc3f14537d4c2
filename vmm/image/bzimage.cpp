// SPDX-License-Identifier: Apache-2.0
// Reads a bzImage's setup header (Linux: Documentation/arch/x86/boot.rst).
#include "vmm/image/bzimage.hpp"

#include <algorithm>
#include <array>

#include "vmm/image/little_endian.hpp"
#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

constexpr size_t header_end = 0x250;
constexpr uint64_t sector = 512;
constexpr uint16_t first_version_with_payload = 0x0208;
constexpr size_t longest_version_text = 256;

std::string read_version_text(const ByteSource& file, uint16_t pointer, uint64_t setup_size) {
    const uint64_t at = 0x200ULL + pointer;
    if (pointer == 0 || at >= setup_size || at >= file.size())
        return {};
    std::array<std::byte, longest_version_text> bytes{};
    const std::span<std::byte> there{bytes.data(), std::min({bytes.size(), setup_size - at, file.size() - at})};
    if (!file.read(at, there))
        return {};
    return text_of(there);
}

} // namespace

Result<std::optional<BzImage>> parse_bzimage(const ByteSource& file) {
    std::array<std::byte, header_end> header{};
    const std::span<std::byte> bytes{header.data(), std::min<uint64_t>(header.size(), file.size())};
    if (!file.read(0, bytes))
        return Error{"cannot be read; check the file system"};
    if (bytes.size() < 0x206 || read_le<uint16_t>(bytes, 0x1fe) != 0xaa55 || text_of(bytes.subspan(0x202, 4)) != "HdrS")
        return std::optional<BzImage>{};
    if (bytes.size() < header_end)
        return Error{"is a truncated bzImage: it ends within its setup header; copy or download it again"};
    if (read_le<uint16_t>(bytes, 0x206) < first_version_with_payload)
        return Error{"is a bzImage of a boot protocol before 2.08, which does not say where its kernel lies; use a "
                     "Linux kernel of version 2.6.26 or later"};

    const auto setup_sectors = std::to_integer<uint64_t>(bytes[0x1f1]);
    const uint64_t setup_size = ((setup_sectors == 0 ? 4 : setup_sectors) + 1) * sector;
    BzImage image;
    image.payload_offset = setup_size + read_le<uint32_t>(bytes, 0x248);
    image.payload_length = read_le<uint32_t>(bytes, 0x24c);
    image.version_text = read_version_text(file, read_le<uint16_t>(bytes, 0x20e), setup_size);
    if (image.payload_length < 8)
        return Error{"is a bzImage whose header names no payload; use a Linux kernel image as its build made it"};
    const uint64_t end = image.payload_offset + image.payload_length;
    if (end > file.size())
        return Error{"is a truncated bzImage: its kernel should end at byte " + std::to_string(end) +
                     ", the file ends at " + std::to_string(file.size()) + "; copy or download it again"};
    std::array<std::byte, 4> size{};
    if (!file.read(end - size.size(), size))
        return Error{"cannot be read; check the file system"};
    image.unpacked_size = read_le<uint32_t>(size, 0);
    return std::optional{std::move(image)};
}

} // namespace parapet::image
