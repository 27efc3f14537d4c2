// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/confine.hpp"

#include "backends/nbd/helper/filter/nbd_filter.hpp"
#include "support/confinement.hpp"
#include "support/landlock.hpp"
#include "support/process_limits.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <string>

namespace parapet::nbd {

namespace {

constexpr std::uint64_t changing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

/// Of root's rights only the one that it takes to open an image of somebody else's.
Capabilities needed_for(const Settings& settings) {
    const int flags = settings.read_only ? O_RDONLY : O_RDWR;
    if (settings.image.empty() || opens_without_capabilities(settings.image.c_str(), flags)) {
        return 0;
    }
    return 1ULL << CAP_DAC_OVERRIDE;
}

int seccomp(bool remote) {
    if (!remote) {
        return qemu_filter().load();
    }
    return instrumented ? 0 : client_filter().load();
}

Error failed(const std::string& what, int error) {
    return Error{"the NBD helper cannot be confined " + what + "(" + std::strerror(error) + ")"};
}

} // namespace

Result<void> confine(const Settings& settings) {
    const bool remote = settings.image.empty();
    if (const int error = give_up_privileges(needed_for(settings)); error != 0) {
        return failed("", error);
    }
    // Reading stays allowed: certificates, the resolver's configuration, an image's backing files. Connecting to a unix
    // socket is not writing.
    if (remote) {
        (void)landlock::restrict_rights(changing | LANDLOCK_ACCESS_FS_EXECUTE, {});
    }
    if (const int error = seccomp(remote); error != 0) {
        return failed("by seccomp, which takes a kernel with CONFIG_SECCOMP_FILTER ", error);
    }
    return {};
}

void confine_to_folder(const char* folder) {
    const landlock::Allowed allowed[] = {
        {folder, LANDLOCK_ACCESS_FS_WRITE_FILE},
        {"/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE}}; // on which qemu tries out whether it can lock files
    (void)landlock::restrict_rights(changing, allowed);
}

} // namespace parapet::nbd
