// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/boot_from_disk.hpp"

#include "vmm/bootdisk/boot_files.hpp"

#include <cstdio>
#include <utility>

namespace parapet::cli {
namespace {

std::string path_of(const UniqueFd& file) {
    return "/proc/self/fd/" + std::to_string(file.get());
}

void tell(const std::string& sentence) {
    std::fprintf(stderr, "parapet: %s\n", sentence.c_str());
}

Result<void> boot_from_disk(RunOptions& options) {
    auto found = bootdisk::find_boot_files({options.boot_image, options.boot_entry});
    if (!found) {
        return found.error();
    }
    const auto files = std::make_shared<const bootdisk::BootFiles>(*std::move(found));
    if (!files->note.empty()) {
        tell("disk '" + options.boot_image + "': " + files->note);
    }
    options.kernel = path_of(files->kernel);
    options.kernel_label = options.boot_image + ":" + files->kernel_path;
    if (files->initrd.valid()) {
        options.initrds.insert(options.initrds.begin(), path_of(files->initrd));
    }
    if (!options.cmdline_given) {
        options.cmdline = bootdisk::with_console(files->cmdline);
        if (options.cmdline != files->cmdline) {
            tell("disk '" + options.boot_image + "': its boot entry '" + files->title +
                 "' names no console of a PV domain; adding console=hvc0");
        }
    }
    options.boot_files = files;
    return {};
}

} // namespace

Result<void> complete_boot_options(RunOptions& options) {
    if (options.kernel.empty()) {
        if (auto done = boot_from_disk(options); !done) {
            return done;
        }
    }
    if (!options.append.empty()) {
        options.cmdline.append(options.cmdline.empty() ? "" : " ").append(options.append);
    }
    return {};
}

} // namespace parapet::cli
