// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/boot_from_disk.hpp"

#include "pv-abi/start_info.hpp"
#include "support/log_output.hpp"
#include "tools/parapet/exit_status.hpp"
#include "vmm/bootdisk/boot_files.hpp"

#include <cstdio>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <utility>

namespace parapet::cli {
namespace {

std::string path_of(const UniqueFd& file) {
    return "/proc/self/fd/" + std::to_string(file.get());
}

/// Directly: the log would start a thread, and looking into disks forks.
void tell(const std::string& sentence) {
    std::fprintf(stderr, "parapet: %s\n", sentence.c_str());
}

void append_to(std::string& cmdline, const std::string& text) {
    if (!text.empty()) {
        cmdline.append(cmdline.empty() ? "" : " ").append(text);
    }
}

Result<void> check_length(const std::string& cmdline) {
    constexpr std::size_t longest = abi::MAX_GUEST_CMDLINE - 1;
    if (cmdline.size() > longest) {
        return Error{"the command line has " + std::to_string(cmdline.size()) + " bytes, and a PV guest takes " +
                     std::to_string(longest) + " (its start_info page has no room for more): shorten it"};
    }
    return {};
}

/// Kernel, initrd and, where the user gave none, the command line. The caller keeps the files open. Returns what the
/// user should know, or nothing.
std::string use_entry(RunOptions& options, const bootdisk::EntryFiles& files, const std::string& image) {
    options.kernel = path_of(files.kernel);
    options.kernel_label = image + ":" + files.kernel_path;
    if (files.initrd.valid()) {
        options.initrds.insert(options.initrds.begin(), path_of(files.initrd));
    }
    if (options.cmdline_given) {
        return {};
    }
    options.cmdline = bootdisk::with_console(files.cmdline);
    return options.cmdline == files.cmdline ? std::string{}
                                            : "disk '" + image + "': its boot entry '" + files.title +
                                                  "' names no console of a PV domain; adding console=hvc0";
}

/// The first disk that boots. Error: what was looked at, and why each was passed over.
Result<void> boot_from_disk(RunOptions& options) {
    std::string passed;
    for (const BootDisk& disk : options.boot_disks) {
        auto found = disk.raw ? bootdisk::find_boot_files({disk.image, options.boot_entry})
                              : Error{"disk '" + disk.image +
                                      "': is no raw image, so what it boots cannot be found; name a kernel with "
                                      "--kernel, or convert it with qemu-img convert -O raw"};
        if (!found) {
            passed += (passed.empty() ? "" : "; ") + found.error().message;
            continue;
        }
        if (!passed.empty()) {
            tell("passing over " + passed);
        }
        const auto files = std::make_shared<const bootdisk::BootFiles>(*std::move(found));
        if (!files->note.empty()) {
            tell("disk '" + disk.image + "': " + files->note);
        }
        if (const std::string added = use_entry(options, *files, disk.image); !added.empty()) {
            tell(added);
        }
        options.boot_files = files;
        options.boot_disks = {disk};
        return {};
    }
    return Error{passed};
}

long long size_of(const UniqueFd& fd) {
    struct stat info {};
    return fd.valid() && fstat(fd.get(), &info) == 0 ? static_cast<long long>(info.st_size) : 0;
}

void show_entry(const bootdisk::EntryFiles& files) {
    std::printf("entry    %s\nkernel   %s (%lld bytes)\n", files.title.c_str(), files.kernel_path.c_str(),
                size_of(files.kernel));
    for (const std::string& path : files.initrd_paths) {
        std::printf("initrd   %s\n", path.c_str());
    }
    if (files.initrd.valid()) {
        std::printf("         (%lld bytes in all)\n", size_of(files.initrd));
    }
    std::printf("cmdline  %s\n", files.cmdline.c_str());
}

} // namespace

Result<void> complete_boot_options(RunOptions& options) {
    if (options.kernel.empty()) {
        if (auto done = boot_from_disk(options); !done) {
            return done;
        }
    }
    append_to(options.cmdline, options.append);
    return check_length(options.cmdline);
}

std::optional<RunOptions> options_after_reboot(const RunOptions& options) {
    if (!options.boot_files || !options.boot_files->next) {
        return std::nullopt;
    }
    RunOptions next = options;
    if (options.boot_files->initrd.valid()) {
        next.initrds.erase(next.initrds.begin());
    }
    (void)use_entry(next, *options.boot_files->next, options.boot_disks.front().image);
    if (!options.cmdline_given) {
        append_to(next.cmdline, options.append);
    }
    return check_length(next.cmdline) ? std::optional{std::move(next)} : std::nullopt;
}

void reboot_options(RunOptions& options) {
    if (auto next = options_after_reboot(options)) {
        log_text("parapet: the disk's configuration boots '" + options.boot_files->next->title + "' this time\n");
        options = *std::move(next);
    }
}

int show_boot_files(const RunOptions& options) {
    const auto files = bootdisk::find_boot_files({options.boot_disks.front().image, options.boot_entry});
    if (!files) {
        std::fprintf(stderr, "parapet: %s\n", files.error().message.c_str());
        return exit_failed;
    }
    std::printf("config   %s\n", files->config.c_str());
    for (const std::string& offer : files->offers) {
        std::printf("offers   %s\n", offer.c_str());
    }
    if (!files->note.empty()) {
        std::printf("note     %s\n", files->note.c_str());
    }
    show_entry(*files);
    if (files->next) {
        std::puts("\nafter the guest's first reboot:");
        show_entry(*files->next);
    }
    return std::fflush(stdout) == 0 ? exit_powered_off : exit_failed;
}

} // namespace parapet::cli
