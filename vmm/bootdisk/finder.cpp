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

Result<std::vector<std::string>> find(const FinderTask& task, ProgramRunner runner) {
    auto disk = GrubImage::open(std::move(runner));
    if (!disk) {
        return disk.error();
    }
    auto choice = choose_boot_entry(**disk, task.entry);
    if (!choice) {
        return choice.error();
    }
    const BootEntry& entry = choice->entry;
    const auto in_entry = [&](const std::string& what, const FilePlace& place, const Error& error) {
        return Error{what + " '" + printable(place.path) + "' of its boot entry '" + printable(entry.title) + "' " +
                     error.message};
    };
    const bool clean =
        std::none_of(entry.cmdline.begin(), entry.cmdline.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (!clean || entry.cmdline.size() > max_cmdline) {
        return Error{"the command line of its boot entry '" + printable(entry.title) +
                     "' is too long or has control characters; give one with --cmdline"};
    }
    if (auto copied = (*disk)->copy(entry.kernel, task.kernel_fd, max_kernel_bytes); !copied) {
        return in_entry("the kernel", entry.kernel, copied.error());
    }
    std::vector<std::string> report{"found",
                                    printable(entry.title),
                                    printable(choice->config.path),
                                    printable(entry.kernel.path),
                                    entry.cmdline,
                                    choice->note};
    std::uint64_t left = max_initrd_bytes;
    for (const FilePlace& initrd : entry.initrds) {
        const auto copied = (*disk)->copy(initrd, task.initrd_fd, left);
        if (!copied) {
            return in_entry("the initrd", initrd, copied.error());
        }
        if (!pad(task.initrd_fd, *copied)) {
            return in_entry("the initrd", initrd, Error{"cannot be copied"});
        }
        left -= *copied;
        report.push_back(printable(initrd.path));
    }
    return report;
}

std::vector<std::string> find_confined(const FinderTask& task) {
    try {
        if (auto confined = confine(task.image, {}); !confined) {
            return {"error", confined.error().message};
        }
        auto runner = ProgramRunner::start(task.image);
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
