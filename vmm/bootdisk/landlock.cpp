// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/landlock.hpp"

#include "support/landlock.hpp"

namespace parapet::bootdisk {

bool has_landlock() {
    return landlock::version() > 0;
}

int restrict_files(const std::vector<std::string>& readable, const std::vector<std::string>& executable) {
    // Of the whole tree no more than names: grub-fstest looks at "/" before it opens the image.
    std::vector<landlock::Allowed> allowed{{"/", LANDLOCK_ACCESS_FS_READ_DIR}};
    for (const std::string& path : readable) {
        // Of a block device its size is asked; seccomp allows no more.
        allowed.push_back({path, landlock::reading | landlock::ioctl_dev});
    }
    for (const std::string& path : executable) {
        allowed.push_back({path, landlock::reading | LANDLOCK_ACCESS_FS_EXECUTE});
    }
    return landlock::restrict_all(allowed, true);
}

} // namespace parapet::bootdisk
