// SPDX-License-Identifier: Apache-2.0
#include "support/landlock.hpp"

#include "support/unique_fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet::landlock {

namespace {

/// struct landlock_ruleset_attr of ABI version 6; older kernels take its beginning.
struct Ruleset {
    std::uint64_t files, network, scoped;
};

constexpr std::uint64_t of_a_file =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | truncate | ioctl_dev;

/// Every right to files that this version knows.
std::uint64_t all_rights(int version) {
    std::uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; // version 1
    rights |= version >= 2 ? refer : 0;
    rights |= version >= 3 ? truncate : 0;
    rights |= version >= 5 ? ioctl_dev : 0;
    return rights;
}

std::size_t size_of_ruleset(int version) {
    return version >= 6 ? sizeof(Ruleset) : version >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

int enforce(const Ruleset& handled, int version, std::span<const Allowed> allowed) {
    const UniqueFd rules{
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, size_of_ruleset(version), 0))};
    if (!rules.valid()) {
        return errno;
    }
    for (const Allowed& each : allowed) {
        const UniqueFd file{::open(each.path.c_str(), O_PATH | O_CLOEXEC)};
        struct stat status {};
        if (!file.valid() || ::fstat(file.get(), &status) != 0) {
            continue;
        }
        landlock_path_beneath_attr rule{};
        rule.allowed_access = each.rights & handled.files & (S_ISDIR(status.st_mode) ? ~0ULL : of_a_file);
        rule.parent_fd = file.get();
        if (rule.allowed_access != 0 &&
            ::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
            return errno;
        }
    }
    return ::syscall(SYS_landlock_restrict_self, rules.get(), 0) == 0 ? 0 : errno;
}

} // namespace

int version() {
    const long known = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return static_cast<int>(std::max(known, 0L));
}

int restrict_rights(std::uint64_t handled, std::span<const Allowed> allowed) {
    const int known = version();
    return known == 0 ? 0 : enforce({handled & all_rights(known), 0, 0}, known, allowed);
}

int restrict_all(std::span<const Allowed> allowed, bool alone) {
    const int known = version();
    if (known == 0) {
        return 0;
    }
    constexpr std::uint64_t bind_and_connect = 3, abstract_sockets_and_signals = 3;
    const Ruleset handled{all_rights(known), alone && known >= 4 ? bind_and_connect : 0,
                          alone && known >= 6 ? abstract_sockets_and_signals : 0};
    return enforce(handled, known, allowed);
}

} // namespace parapet::landlock
