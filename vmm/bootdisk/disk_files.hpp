// SPDX-License-Identifier: Apache-2.0
// The files of a disk image as the search for something to boot sees them.
#pragma once

#include "support/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

/// A file system on the disk: of the whole disk, a partition, or a logical volume.
struct Volume {
    std::string name; ///< as the reader calls it, "loop0" (whole disk), "loop0,gpt1", "lvm/group-root"
    std::string label, uuid;
    std::string type{}; ///< its file system, as GRUB's `probe --fs` names it
};

/// Where a file is; paths are absolute within the volume.
struct FilePlace {
    std::size_t volume = 0; ///< index in DiskFiles::volumes(), or nowhere
    std::string path;
    std::uint64_t offset = 0, length = 0; ///< a part of it; length 0: to the end

    bool operator==(const FilePlace&) const = default;
    [[nodiscard]] bool is_part() const { return length != 0; }

    static constexpr std::size_t nowhere = SIZE_MAX; ///< a device that this disk cannot have; there is no such file
};

/// Everything that comes from here was written by whoever made the image.
class DiskFiles {
public:
    DiskFiles() = default;
    DiskFiles(const DiskFiles&) = delete;
    DiskFiles& operator=(const DiskFiles&) = delete;
    virtual ~DiskFiles() = default;

    [[nodiscard]] virtual const std::vector<Volume>& volumes() const = 0;
    /// Disk and partitions on which the reader finds no file system, by its names; no disk that has partitions.
    [[nodiscard]] virtual std::vector<std::string> unread_devices() const { return {}; }
    /// A small file's text; nothing if it is missing, no regular file, or larger than max_text.
    [[nodiscard]] virtual std::optional<std::string> read(const FilePlace& place) = 0;
    /// Names in a folder, folders with a slash at the end; empty where there is none.
    [[nodiscard]] virtual std::vector<std::string> list(const FilePlace& place) = 0;
    /// Whether there is a file or folder.
    [[nodiscard]] virtual bool exists(const FilePlace& place) = 0;
    /// Appends a file to `fd`; its size. At most `limit` bytes.
    [[nodiscard]] virtual Result<std::uint64_t> copy(const FilePlace& place, int fd, std::uint64_t limit) = 0;

    /// Sectors of 512 bytes of a device of the reader, not of a file; nothing where they cannot be read.
    [[nodiscard]] virtual std::optional<std::string> read_sectors(const std::string&, std::uint64_t, std::uint32_t) {
        return std::nullopt;
    }

    static constexpr std::size_t max_text = 1 << 20;
};

/// What the domain shall boot, as a configuration file says.
struct BootEntry {
    std::string id;    ///< what saved_entry and default may name
    std::string title; ///< what a menu shows; of nested menus joined by " > "
    FilePlace kernel;
    std::vector<FilePlace> initrds;
    std::string cmdline;

    [[nodiscard]] bool boots_as(const BootEntry& other) const {
        return kernel == other.kernel && initrds == other.initrds && cmdline == other.cmdline;
    }
};

} // namespace parapet::bootdisk
