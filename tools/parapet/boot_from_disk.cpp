// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/boot_from_disk.hpp"

#include "backends/nbd/channel.hpp"
#include "backends/nbd/spawn.hpp"
#include "pv-abi/start_info.hpp"
#include "support/log_output.hpp"
#include "tools/parapet/exit_status.hpp"
#include "vmm/bootdisk/boot_files.hpp"

#include <cstdio>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
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

/// Ends parapet-nbd, and waits a moment for that: then the image is free for the domain.
void end_server(const nbd::Connection& server) {
    constexpr int patience_ms = 3000;
    const nbd::Bye bye{};
    (void)!write(server.socket.get(), &bye, sizeof bye);
    pollfd watched{server.socket.get(), 0, 0};
    (void)poll(&watched, 1, patience_ms);
}

/// What a disk boots that is no raw image: by a server of its own, read-only, which has ended when this returns.
Result<bootdisk::BootFiles> look_into_served(const disk::DiskSpec& disk, const std::optional<std::string>& entry) {
    const auto about = [&](const std::string& what) { return Error{"disk '" + disk.target + "': " + what}; };
    nbd::NbdOptions wanted;
    (disk.is_remote() ? wanted.uri : wanted.image) = disk.target;
    wanted.format = disk.is_remote() ? "" : disk::format_name(*disk.format);
    wanted.read_only = true;
    auto started = nbd::start_helper(wanted);
    if (!started) {
        return about(started.error().message);
    }
    const std::uint32_t most_data = started->hello.most_data;
    auto channel = nbd::Channel::create(*std::move(started), disk.target, {});
    if (!channel) {
        return about(channel.error().message);
    }
    const std::uint64_t bytes = (*channel)->geometry().bytes;
    const nbd::Connection server = std::move(**channel).give_away();
    auto found = bootdisk::find_boot_files(
        {.image = disk.target,
         .entry = entry,
         .server = bootdisk::DiskServer{server.socket.get(), server.memory.get(), bytes, most_data}});
    end_server(server);
    return found;
}

Result<bootdisk::BootFiles> look_into(const disk::DiskSpec& disk, const std::optional<std::string>& entry) {
    return disk.needs_nbd() ? look_into_served(disk, entry)
                            : bootdisk::find_boot_files({.image = disk.target, .entry = entry});
}

/// The first disk that boots. Error: what was looked at, and why each was passed over.
Result<void> boot_from_disk(RunOptions& options) {
    std::string passed;
    for (const disk::DiskSpec& disk : options.boot_disks) {
        auto found = look_into(disk, options.boot_entry);
        if (!found) {
            passed += (passed.empty() ? "" : "; ") + found.error().message;
            continue;
        }
        if (!passed.empty()) {
            tell("passing over " + passed);
        }
        const auto files = std::make_shared<const bootdisk::BootFiles>(*std::move(found));
        if (!files->note.empty()) {
            tell("disk '" + disk.target + "': " + files->note);
        }
        if (const std::string added = use_entry(options, *files, disk.target); !added.empty()) {
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
    (void)use_entry(next, *options.boot_files->next, options.boot_disks.front().target);
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
    const auto files = look_into(options.boot_disks.front(), options.boot_entry);
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
