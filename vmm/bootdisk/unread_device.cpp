// SPDX-License-Identifier: Apache-2.0
// Signatures and feature bits are those of the kernel's headers (ext4.h, xfs_format.h, btrfs_tree.h, swap.h, md_p.h,
// bcachefs_format.h) and of LUKS's and LVM2's on-disk formats. Numbers are little-endian but xfs's.
#include "vmm/bootdisk/unread_device.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace parapet::bootdisk {
namespace {

constexpr std::uint32_t sectors_read = 136; ///< btrfs's super block ends there
constexpr std::size_t page = 4096;

struct Feature {
    std::uint64_t bit;
    const char* name;
};

/// Features without which a file system cannot be read, apart from those that every GRUB since 2.06 knows.
constexpr Feature ext4_features[] = {{0x1, "compression"},    {0x8, "journal_dev"},           {0x400, "ea_inode"},
                                     {0x1000, "dirdata"},     {0x2000, "metadata_csum_seed"}, {0x4000, "large_dir"},
                                     {0x8000, "inline_data"}, {0x20000, "casefold"}};
constexpr std::uint64_t ext4_known = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x10000;
constexpr Feature xfs_features[] = {{0x20, "nrext64"}, {0x40, "exchange"}, {0x80, "parent"}, {0x100, "metadir"}};
constexpr std::uint64_t xfs_known = 0x1 | 0x2 | 0x4 | 0x8 | 0x10;
constexpr Feature btrfs_features[] = {
    {1ULL << 12, "zoned"}, {1ULL << 13, "extent-tree-v2"}, {1ULL << 14, "raid-stripe-tree"}, {1ULL << 16, "squota"}};
constexpr std::uint64_t btrfs_known = 0xfff;

class Bytes {
public:
    explicit Bytes(std::string bytes) : bytes_{std::move(bytes)} {}

    [[nodiscard]] bool has(std::size_t offset, std::string_view text) const {
        return offset <= bytes_.size() && bytes_.compare(offset, text.size(), text) == 0;
    }
    [[nodiscard]] std::uint64_t little(std::size_t offset, std::size_t size) const {
        std::uint64_t value = 0;
        for (std::size_t i = size; i-- > 0;) {
            value = value << 8 | at(offset + i);
        }
        return value;
    }
    [[nodiscard]] std::uint64_t big(std::size_t offset, std::size_t size) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; i++) {
            value = value << 8 | at(offset + i);
        }
        return value;
    }
    [[nodiscard]] bool empty() const { return bytes_.find_first_not_of('\0') == std::string::npos; }

private:
    [[nodiscard]] unsigned char at(std::size_t offset) const {
        return offset < bytes_.size() ? static_cast<unsigned char>(bytes_[offset]) : 0;
    }
    std::string bytes_;
};

template <std::size_t N>
std::string with_features(const std::string& kind, std::uint64_t bits, std::uint64_t known, const Feature (&names)[N]) {
    std::string text;
    std::size_t count = 0;
    std::uint64_t unnamed = bits & ~known;
    const auto add = [&](const std::string& name) { text += (count++ == 0 ? "" : ", ") + name; };
    for (const Feature& feature : names) {
        if ((unnamed & feature.bit) != 0) {
            add(feature.name);
            unnamed &= ~feature.bit;
        }
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        if ((unnamed >> bit & 1) != 0) {
            add("number " + std::to_string(bit));
        }
    }
    return count == 0 ? "is " + kind + ", but damaged"
                      : "is " + kind + " with the feature" + (count > 1 ? "s " : " ") + text +
                            ", which GRUB's reader here does not know";
}

std::optional<std::string> file_system(const Bytes& bytes) {
    constexpr std::size_t ext_super = 1024;
    constexpr std::size_t btrfs_super = 0x10000;
    if (bytes.little(ext_super + 56, 2) == 0xef53) {
        return with_features("ext4", bytes.little(ext_super + 96, 4), ext4_known, ext4_features);
    }
    if (bytes.has(0, "XFSB")) {
        const bool has_features = (bytes.big(100, 2) & 0xf) >= 5;
        return with_features("xfs", has_features ? bytes.big(216, 4) : 0, xfs_known, xfs_features);
    }
    if (bytes.has(btrfs_super + 0x40, "_BHRfS_M")) {
        return with_features("btrfs", bytes.little(btrfs_super + 0xbc, 8), btrfs_known, btrfs_features);
    }
    if (bytes.has(page + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")) {
        return "is bcachefs, which GRUB's reader does not know";
    }
    if (bytes.little(ext_super, 4) == 0xe0f5e1e2) {
        return "is erofs, which GRUB's reader here does not know";
    }
    if (bytes.little(ext_super, 4) == 0xf2f52010) {
        return "is f2fs in a form that GRUB's reader here does not know";
    }
    if (bytes.has(0, "hsqs")) {
        return "is squashfs in a form that GRUB's reader here does not know";
    }
    return std::nullopt;
}

std::optional<std::string> no_file_system(const Bytes& bytes) {
    if (bytes.has(page - 10, "SWAPSPACE2") || bytes.has(page - 10, "SWAP-SPACE")) {
        return "is swap space";
    }
    if (bytes.has(0, "LUKS\xba\xbe")) {
        return "is encrypted (LUKS)";
    }
    if (bytes.has(0, "-FVE-FS-")) {
        return "is encrypted (BitLocker)";
    }
    for (std::size_t sector = 0; sector < 4; sector++) {
        if (bytes.has(sector * 512, "LABELONE") && bytes.has(sector * 512 + 24, "LVM2 001")) {
            return "is a physical volume of LVM";
        }
    }
    if (bytes.little(0, 4) == 0xa92b4efc || bytes.little(page, 4) == 0xa92b4efc) {
        return "is a member of a RAID (md)";
    }
    if (bytes.empty()) {
        return "is empty";
    }
    return std::nullopt;
}

} // namespace

std::string describe_unread(DiskFiles& disk, const std::string& device) {
    // A short device has fewer.
    for (const std::uint32_t count : {sectors_read, 16U, 1U}) {
        if (auto read = disk.read_sectors(device, 0, count)) {
            const Bytes bytes{*std::move(read)};
            auto text = file_system(bytes);
            text = text ? text : no_file_system(bytes);
            return text.value_or(
                "has no file system that is known (GRUB's reader knows ext4, xfs, btrfs, FAT and more)");
        }
    }
    return "cannot be read";
}

std::string device_text(const std::string& device) {
    const std::size_t comma = device.find(',');
    if (comma != std::string::npos) {
        const std::size_t digits = device.find_first_of("0123456789", comma);
        return "partition " + device.substr(digits == std::string::npos ? comma + 1 : digits);
    }
    return device.find('/') == std::string::npos ? "the whole disk" : "the volume " + device;
}

} // namespace parapet::bootdisk
