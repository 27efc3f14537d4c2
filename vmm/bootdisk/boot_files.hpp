// SPDX-License-Identifier: Apache-2.0
// What a disk image boots, found as its own boot loader would: `parapet run --disk IMAGE` without a kernel.
//
//   this process --fork--> finder, confined: reads grub.cfg, BLS, extlinux, menu.lst; chooses
//        ^                    |--fork, execveat--> grub-fstest, confined further: reads the image
//        |                    v
//        +--- report (pipe), kernel and initrds (memory files)
//
// The image is only read, by processes that could not write to it (confinement.hpp) and that are ended after a while.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace parapet::bootdisk {

/// Serves a disk that is no raw image: parapet-nbd, as backends/nbd starts it. For one look only.
struct DiskServer {
    int socket = -1, memory = -1;
    std::uint64_t bytes = 0;
    std::uint32_t max_read = 0; ///< bytes at once
};

struct BootRequest {
    std::string image;                ///< a raw image or a block device; or only a name, where it has a server
    std::optional<std::string> entry; ///< title, id or number; nothing: the default entry
    std::chrono::milliseconds limit = std::chrono::seconds{60};
    std::optional<DiskServer> server{};
};

/// What an entry boots. All texts come from the image, but are printable (the command line excepted: it has no control
/// characters).
struct EntryFiles {
    std::string title;
    std::string kernel_path; ///< within the image
    std::vector<std::string> initrd_paths;
    std::string cmdline; ///< as the entry has it

    UniqueFd kernel; ///< a sealed memory file: /proc/self/fd/N opens it as any other
    UniqueFd initrd; ///< the same, all initrds joined, each at a multiple of 4 bytes; invalid where there is none
};

struct BootFiles : EntryFiles {
    std::string config;              ///< the file that names the entry
    std::string note;                ///< for the user, or empty
    std::vector<std::string> offers; ///< all entries of its menu, one line each
    /// What a reboot starts, where the image's configuration would do something else the second time.
    std::optional<EntryFiles> next;
};

/// Call it before any thread is started: it forks. Errors are sentences that name the image.
[[nodiscard]] Result<BootFiles> find_boot_files(const BootRequest& request);

inline constexpr std::uint64_t max_kernel_bytes = 256ULL << 20;
inline constexpr std::uint64_t max_initrd_bytes = 512ULL << 20;

/// The command line for a domain: with console=hvc0 where the entry names no Xen console, as a PV domain has no other.
[[nodiscard]] std::string with_console(const std::string& cmdline);

} // namespace parapet::bootdisk
