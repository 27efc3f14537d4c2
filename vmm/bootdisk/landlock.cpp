// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/landlock.hpp"

#include "support/unique_fd.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr std::uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t listing = reading | LANDLOCK_ACCESS_FS_READ_DIR;

/// LANDLOCK_ACCESS_FS_IOCTL_DEV, which Debian 12's headers do not know.
constexpr std::uint64_t ioctl_dev = 1ULL << 15;

/// Every right that this kernel's version of Landlock knows is taken away unless given.
std::uint64_t all_rights(long version) {
    std::uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; // version 1
    if (version >= 2) {
        rights |= 1ULL << 13; // REFER
    }
    if (version >= 3) {
        rights |= 1ULL << 14; // TRUNCATE
    }
    if (version >= 5) {
        rights |= ioctl_dev;
    }
    return rights;
}

long version_of_landlock() {
    return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

} // namespace

bool has_landlock() {
    return version_of_landlock() > 0;
}

int restrict_files(const std::vector<std::string>& readable) {
    const long version = version_of_landlock();
    if (version <= 0) {
        return 0;
    }
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = all_rights(version);
    const UniqueFd rules{
        static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0))};
    if (!rules.valid()) {
        return errno;
    }
    for (const std::string& path : readable) {
        const UniqueFd file{open(path.c_str(), O_PATH | O_CLOEXEC)};
        struct stat info {};
        if (!file.valid() || fstat(file.get(), &info) != 0) {
            continue; // not on this host: then it cannot be needed
        }
        // Of a block device its size is asked; seccomp allows no more.
        const std::uint64_t device = S_ISBLK(info.st_mode) ? ioctl_dev & attributes.handled_access_fs : 0;
        landlock_path_beneath_attr rule{};
        // Of the whole tree no more than names: grub-fstest looks at "/" before it opens the image.
        rule.allowed_access = path == "/"             ? LANDLOCK_ACCESS_FS_READ_DIR
                              : S_ISDIR(info.st_mode) ? listing
                                                      : reading | device;
        rule.parent_fd = file.get();
        if (syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
            return errno;
        }
    }
    return syscall(SYS_landlock_restrict_self, rules.get(), 0) == 0 ? 0 : errno;
}

} // namespace parapet::bootdisk
