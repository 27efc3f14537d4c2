// SPDX-License-Identifier: Apache-2.0
// UEFI specification, "GUID Partition Table (GPT) Disk Layout"; numbers are little-endian, as this machine's are.
#include "vmm/bootdisk/partition_uuid.hpp"

#include "vmm/bootdisk/number_at.hpp"

#include <array>
#include <charconv>
#include <cstdio>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t sector = 512;

std::optional<std::string> gpt_uuid(DiskFiles& disk, const std::string& whole, std::uint32_t number) {
    const auto header = disk.read_sectors(whole, 1, 1);
    if (!header || header->compare(0, 8, "EFI PART") != 0) {
        return std::nullopt;
    }
    const auto first = number_at<std::uint64_t>(*header, 72);
    const auto count = number_at<std::uint32_t>(*header, 80);
    const auto size = number_at<std::uint32_t>(*header, 84);
    if (number > count || size < 128 || size > 4096 || first > (1ULL << 40)) {
        return std::nullopt;
    }
    const std::uint64_t offset = std::uint64_t{number - 1} * size;
    // An entry's first 32 bytes, types and names of its own, never cross a sector: sizes are 128 times a power of two.
    const auto table = disk.read_sectors(whole, first + offset / sector, 1);
    const std::size_t entry = offset % sector;
    if (!table || entry + 32 > sector) {
        return std::nullopt;
    }
    std::array<char, 40> text{};
    const auto byte = [&](std::size_t i) { return number_at<std::uint8_t>(*table, entry + 16 + i); };
    std::snprintf(text.data(), text.size(), "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                  number_at<std::uint32_t>(*table, entry + 16), number_at<std::uint16_t>(*table, entry + 20),
                  number_at<std::uint16_t>(*table, entry + 22), byte(8), byte(9), byte(10), byte(11), byte(12),
                  byte(13), byte(14), byte(15));
    return text.data();
}

std::optional<std::string> msdos_uuid(DiskFiles& disk, const std::string& whole, std::uint32_t number) {
    const auto boot = disk.read_sectors(whole, 0, 1);
    if (!boot) {
        return std::nullopt;
    }
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "%08x-%02x", number_at<std::uint32_t>(*boot, 440), number);
    return text.data();
}

} // namespace

std::optional<std::string> partition_uuid(DiskFiles& disk, const std::string& device) {
    const std::size_t comma = device.find(',');
    if (comma == std::string::npos || device.find(',', comma + 1) != std::string::npos) {
        return std::nullopt;
    }
    const std::string partition = device.substr(comma + 1);
    const std::size_t digits = partition.find_first_of("0123456789");
    std::uint32_t number = 0;
    if (digits == std::string::npos ||
        std::from_chars(partition.data() + digits, partition.data() + partition.size(), number).ec != std::errc{} ||
        number == 0) {
        return std::nullopt;
    }
    const std::string whole = device.substr(0, comma);
    const std::string table = partition.substr(0, digits);
    return table == "gpt"     ? gpt_uuid(disk, whole, number)
           : table == "msdos" ? msdos_uuid(disk, whole, number)
                              : std::nullopt;
}

} // namespace parapet::bootdisk
