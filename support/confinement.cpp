// SPDX-License-Identifier: Apache-2.0
#include "support/confinement.hpp"

#include "support/process_limits.hpp"
#include "support/unique_fd.hpp"

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet {

namespace {

bool own_user_namespace = false;

bool write_file(const char* path, const std::string& text) {
    const UniqueFd file{::open(path, O_WRONLY | O_CLOEXEC)};
    return file.valid() && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// The one user and group that an ordinary user may map.
void map_own_user(uid_t user, gid_t group) {
    const auto line = [](unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1\n"; };
    (void)write_file("/proc/self/setgroups", "deny");
    (void)write_file("/proc/self/uid_map", line(user));
    (void)write_file("/proc/self/gid_map", line(group));
}

/// CLONE_THREAD refuses a process with several threads, of which the others would stay outside. One that has just ended
/// may count for a moment.
bool leave(int spaces) {
    constexpr timespec moment{.tv_sec = 0, .tv_nsec = 500'000};
    constexpr int attempts = 20;
    for (int i = 0; i < attempts; i++) {
        if (::unshare(spaces | CLONE_THREAD) == 0) {
            return true;
        }
        if (errno != EINVAL) {
            return false;
        }
        (void)::nanosleep(&moment, nullptr);
    }
    return false;
}

bool make_mount_namespace() {
    if ((capabilities() & (1ULL << CAP_SYS_ADMIN)) != 0) {
        return leave(CLONE_NEWNS);
    }
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    if (!leave(CLONE_NEWUSER | CLONE_NEWNS)) {
        return false;
    }
    own_user_namespace = true;
    map_own_user(user, group);
    return true;
}

/// Any folder to put the new root on, until it is the root.
bool mount_empty_folder() {
    for (const char* folder : {"/tmp", "/proc", "/dev", "/sys"}) {
        if (::mount("none", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1,mode=555") == 0) {
            return ::chdir(folder) == 0;
        }
    }
    return false;
}

/// The working folder becomes the root, and the old root is let go of (pivot_root(2), "pivot_root(".", ".")").
bool become_root() {
    if (::syscall(SYS_pivot_root, ".", ".") == 0) {
        (void)::umount2(".", MNT_DETACH);
    } else if (::chroot(".") != 0) { // a root that cannot be left: an initramfs
        return false;
    }
    return ::chdir("/") == 0;
}

} // namespace

bool confinement_wanted() {
    const char* const wish = std::getenv("PARAPET_SANDBOX");
    return wish == nullptr || std::string_view{wish} != "off";
}

bool opens_without_capabilities(const char* path, int flags) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (::syscall(SYS_capget, &header, data) != 0) {
        return false;
    }
    const auto before = {data[0].effective, data[1].effective};
    data[0].effective = data[1].effective = 0;
    (void)::syscall(SYS_capset, &header, data);
    const bool opens = UniqueFd{::open(path, flags | O_CLOEXEC)}.valid();
    data[0].effective = *before.begin();
    data[1].effective = *(before.begin() + 1);
    (void)::syscall(SYS_capset, &header, data);
    return opens;
}

Capabilities capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (::syscall(SYS_capget, &header, data) != 0) {
        return 0;
    }
    return data[0].effective | static_cast<Capabilities>(data[1].effective) << 32;
}

int drop_capabilities(Capabilities kept) {
    for (int capability = 0; capability < 64; capability++) {
        if ((kept >> capability & 1) == 0) {
            (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
    }
    (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    kept &= capabilities();
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    data[0].permitted = data[0].effective = static_cast<std::uint32_t>(kept);
    data[1].permitted = data[1].effective = static_cast<std::uint32_t>(kept >> 32);
    return ::syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

int give_up_privileges(Capabilities kept) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return errno;
    }
    if (const int error = drop_capabilities(kept); error != 0) {
        return error;
    }
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return errno;
    }
    return narrow_limit(RLIMIT_CORE, 0) ? 0 : errno;
}

bool enter_empty_root() {
    if (!make_mount_namespace()) {
        return false;
    }
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 || !mount_empty_folder() || !become_root()) {
        return false;
    }
    (void)::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    return true;
}

bool has_own_user_namespace() {
    return own_user_namespace;
}

} // namespace parapet
