// SPDX-License-Identifier: Apache-2.0
// parapet-bootfiles IMAGE [ENTRY]: says what a disk image boots, for finding faults.
#include "vmm/bootdisk/boot_files.hpp"

#include <cstdio>
#include <exception>
#include <sys/stat.h>

namespace {

long long size_of(const parapet::UniqueFd& fd) {
    struct stat info {};
    return fd.valid() && fstat(fd.get(), &info) == 0 ? static_cast<long long>(info.st_size) : 0;
}

void show_entry(const parapet::bootdisk::EntryFiles& files) {
    std::printf("entry    %s\nkernel   %s (%lld bytes)\n", files.title.c_str(), files.kernel_path.c_str(),
                size_of(files.kernel));
    for (const std::string& path : files.initrd_paths) {
        std::printf("initrd   %s\n", path.c_str());
    }
    std::printf("         (%lld bytes)\ncmdline  %s\n", size_of(files.initrd), files.cmdline.c_str());
}

int show(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        std::fputs("usage: parapet-bootfiles IMAGE [ENTRY]\n", stderr);
        return 2;
    }
    parapet::bootdisk::BootRequest request{argv[1], {}};
    if (argc == 3) {
        request.entry = argv[2];
    }
    const auto files = parapet::bootdisk::find_boot_files(request);
    if (!files) {
        std::fprintf(stderr, "parapet-bootfiles: %s\n", files.error().message.c_str());
        return 1;
    }
    std::printf("config   %s\nnote     %s\n", files->config.c_str(), files->note.c_str());
    show_entry(*files);
    if (files->next) {
        std::puts("after a reboot");
        show_entry(*files->next);
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return show(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "parapet-bootfiles: %s\n", error.what());
    }
    return 1;
}
