// SPDX-License-Identifier: Apache-2.0
// The files of a disk image by grub-fstest (package grub-common): GRUB's own drivers for file systems, partition
// tables, LVM and RAID, in user space and reading only. Each question is one run of it, confined (confinement.hpp).
#pragma once

#include "vmm/bootdisk/disk_files.hpp"
#include "vmm/bootdisk/program_runner.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::bootdisk {

class GrubImage final : public DiskFiles {
public:
    /// Of the runner's image. Error: it could not be read.
    static Result<std::unique_ptr<GrubImage>> open(ProgramRunner runner);

    [[nodiscard]] const std::vector<Volume>& volumes() const override { return volumes_; }
    [[nodiscard]] std::vector<std::string> unread_devices() const override { return unread_; }
    [[nodiscard]] std::optional<std::string> read(const FilePlace& place) override;
    [[nodiscard]] std::vector<std::string> list(const FilePlace& place) override;
    [[nodiscard]] bool exists(const FilePlace& place) override;
    [[nodiscard]] Result<std::uint64_t> copy(const FilePlace& place, int fd, std::uint64_t limit) override;
    [[nodiscard]] std::optional<std::string> read_sectors(const std::string& device, std::uint64_t first,
                                                          std::uint32_t count) override;

private:
    struct Answer {
        int status = -1; ///< exit status; -1: killed, or more output than wanted
        std::string output, complaint;
    };

    using Command = ProgramRunner::Command;

    explicit GrubImage(ProgramRunner runner) : runner_{std::move(runner)} {}

    /// With `fd` the program writes there; otherwise its output is collected, up to `most` bytes.
    Result<Answer> run(const ProgramRunner::Question& question, int fd, std::size_t most);
    [[nodiscard]] ProgramRunner::Question contents_of(const FilePlace& place) const;
    [[nodiscard]] std::string name_of(const FilePlace& place) const;

    ProgramRunner runner_;
    std::vector<Volume> volumes_;
    std::vector<std::string> unread_;
    std::map<std::string, std::vector<std::string>> listings_;
    unsigned runs_ = 0;
};

/// Reads what `grub-fstest IMAGE ls -- -l` prints. Devices of the host itself are left out.
std::vector<Volume> parse_volumes(std::string_view text);

/// The same, of devices without a known file system.
std::vector<std::string> parse_unread(std::string_view text);

} // namespace parapet::bootdisk
