// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/finder.hpp"

#include "vmm/bootdisk/boot_files.hpp"
#include "vmm/bootdisk/boot_menu.hpp"
#include "vmm/bootdisk/confinement.hpp"
#include "vmm/bootdisk/grub_image.hpp"
#include "vmm/bootdisk/program_runner.hpp"
#include "vmm/bootdisk/report.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <unistd.h>
#include <utility>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t max_cmdline = 4096;

/// Linux finds the next archive at a multiple of 4 bytes.
bool pad(int fd, std::uint64_t size) {
    static constexpr char zeros[4] = {};
    const auto missing = static_cast<std::size_t>((4 - size % 4) % 4);
    return write(fd, zeros, missing) == static_cast<ssize_t>(missing);
}

/// Copies an entry's files into two memory files: what cannot be copied, for whatever reason, cannot be booted.
class Copier {
public:
    Copier(DiskFiles& disk, int kernel_fd, int initrd_fd) : disk_{disk}, kernel_fd_{kernel_fd}, initrd_fd_{initrd_fd} {}

    Result<void> copy(const BootEntry& entry) {
        if (there_ && entry.boots_as(*there_)) {
            return {};
        }
        there_.reset();
        if (!empty(kernel_fd_) || !empty(initrd_fd_)) {
            return Error{"what it boots cannot be copied"};
        }
        if (auto clean = check_cmdline(entry); !clean) {
            return clean;
        }
        if (auto copied = disk_.copy(entry.kernel, kernel_fd_, max_kernel_bytes); !copied) {
            return in_entry("the kernel", entry, entry.kernel, copied.error().message);
        }
        std::uint64_t left = max_initrd_bytes;
        for (const FilePlace& initrd : entry.initrds) {
            const auto copied = disk_.copy(initrd, initrd_fd_, left);
            if (!copied) {
                return in_entry("the initrd", entry, initrd, copied.error().message);
            }
            if (!pad(initrd_fd_, *copied)) {
                return in_entry("the initrd", entry, initrd, "cannot be copied");
            }
            left -= *copied;
        }
        there_ = entry;
        return {};
    }

private:
    static bool empty(int fd) { return ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0; }

    static Error in_entry(const char* what, const BootEntry& entry, const FilePlace& place, const std::string& why) {
        return Error{std::string{what} + " '" + printable(place.path) + "' of its boot entry '" +
                     printable(entry.title) + "' " + why};
    }

    static Result<void> check_cmdline(const BootEntry& entry) {
        const bool clean = std::none_of(entry.cmdline.begin(), entry.cmdline.end(),
                                        [](unsigned char c) { return c < 0x20 || c == 0x7f; });
        if (!clean || entry.cmdline.size() > max_cmdline) {
            return Error{"the command line of its boot entry '" + printable(entry.title) +
                         "' is too long or has control characters; give one with --cmdline"};
        }
        return {};
    }

    DiskFiles& disk_;
    int kernel_fd_, initrd_fd_;
    std::optional<BootEntry> there_;
};

/// Title, kernel path, command line, number of initrds and their paths.
void add_entry(std::vector<std::string>& report, const BootEntry& entry) {
    report.insert(report.end(), {printable(entry.title), printable(entry.kernel.path), entry.cmdline,
                                 std::to_string(entry.initrds.size())});
    for (const FilePlace& initrd : entry.initrds) {
        report.push_back(printable(initrd.path));
    }
}

Result<std::vector<std::string>> find(const FinderTask& task, ProgramRunner runner) {
    auto disk = GrubImage::open(std::move(runner));
    if (!disk) {
        return disk.error();
    }
    Copier copier{**disk, task.files.kernel, task.files.initrd};
    auto choice = choose_boot_entry(**disk, task.entry, [&](const BootEntry& entry) { return copier.copy(entry); });
    if (!choice) {
        return choice.error();
    }
    if (auto copied = copier.copy(choice->entry); !copied) {
        return copied.error();
    }
    std::vector<std::string> report{"found", printable(choice->config.path), choice->note,
                                    std::to_string(choice->offers.size())};
    report.insert(report.end(), choice->offers.begin(), choice->offers.end());
    add_entry(report, choice->entry);
    if (choice->next) {
        Copier second{**disk, task.next_files.kernel, task.next_files.initrd};
        if (second.copy(*choice->next)) {
            add_entry(report, *choice->next);
        }
    }
    return report;
}

std::vector<std::string> find_confined(const FinderTask& task) {
    try {
        if (auto confined = confine(task.image, {}); !confined) {
            return {"error", confined.error().message};
        }
        auto runner = ProgramRunner::start(task.image, task.served);
        if (!runner) {
            return {"error", runner.error().message};
        }
        if (auto confined = confine_finder(); !confined) {
            return {"error", confined.error().message};
        }
        auto found = find(task, *std::move(runner));
        return found ? *found : std::vector<std::string>{"error", found.error().message};
    } catch (const std::exception& error) {
        return {"error", std::string{"what it boots cannot be found ("} + error.what() + ")"};
    }
}

} // namespace

void run_finder(const FinderTask& task) {
    const std::string report = pack_report(find_confined(task));
    std::size_t written = 0;
    while (written < report.size()) {
        const ssize_t count = write(task.report_fd, report.data() + written, report.size() - written);
        if (count <= 0) {
            break;
        }
        written += static_cast<std::size_t>(count);
    }
    _exit(0);
}

} // namespace parapet::bootdisk
