// SPDX-License-Identifier: Apache-2.0
// Landlock: which files a thread, and all that it starts, may still open (Linux 5.13), which TCP ports it may use
// (6.7), and that it signals nobody outside (6.12). What is open already stays usable.
#pragma once

#include <cstdint>
#include <linux/landlock.h>
#include <span>
#include <string>

namespace parapet {

namespace landlock {
/// Rights that Debian 12's headers do not know.
inline constexpr std::uint64_t refer = 1ULL << 13, truncate = 1ULL << 14, ioctl_dev = 1ULL << 15;
inline constexpr std::uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/// What stays allowed with a path and all that is below it. A path that does not exist is left out.
struct Allowed {
    std::string path;
    std::uint64_t rights = 0; ///< of a file: those that make no sense for it are ignored
};

/// The ABI version of this kernel's Landlock; 0: none.
[[nodiscard]] int version();

/// Takes the rights `handled` away (those that this kernel does not know are left out), but for `allowed`. Needs
/// no_new_privs. 0, also where the kernel has no Landlock; otherwise an errno.
[[nodiscard]] int restrict_rights(std::uint64_t handled, std::span<const Allowed> allowed);

/// All rights to files but `allowed`; with `alone` also TCP, abstract sockets and signals to others.
[[nodiscard]] int restrict_all(std::span<const Allowed> allowed, bool alone);
} // namespace landlock

} // namespace parapet
