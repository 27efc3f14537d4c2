// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/confine.hpp"

#include "support/seccomp_filter.hpp"
#include "support/unique_fd.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <linux/landlock.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet::nbd {

namespace {

constexpr std::uint64_t changing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

/// Takes `rights` away, but for writing to `writable` and what is below. Reading stays allowed: certificates, the
/// resolver's configuration, an image's backing files. Connecting to a unix socket is not writing.
void give_up(std::uint64_t rights, std::initializer_list<const char*> writable) {
    landlock_ruleset_attr rules{};
    rules.handled_access_fs = rights;
    const UniqueFd made{static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0))};
    if (!made.valid()) {
        return;
    }
    for (const char* path : writable) {
        const UniqueFd kept{::open(path, O_PATH | O_CLOEXEC)};
        landlock_path_beneath_attr rule{};
        rule.allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE;
        rule.parent_fd = kept.get();
        if (::syscall(SYS_landlock_add_rule, made.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
            return;
        }
    }
    (void)::syscall(SYS_landlock_restrict_self, made.get(), 0);
}

/// What a client of NBD never does, and one that was taken over would.
constexpr int refused[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(bpf),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(mount),
    SCMP_SYS(kexec_load),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(keyctl),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(kill),
    SCMP_SYS(tkill),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(add_key),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(request_key),
    SCMP_SYS(chroot),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
};

int forbid_calls() {
    SeccompFilter filter{SCMP_ACT_ALLOW};
    filter.add_all(SCMP_ACT_ERRNO(EPERM), refused);
    return filter.load();
}

} // namespace

Result<void> confine(bool remote) {
    const rlimit none{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &none);
    (void)::prctl(PR_SET_DUMPABLE, 0);
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return Error{std::string{"the NBD helper cannot be confined ("} + std::strerror(errno) + ")"};
    }
    if (remote) {
        give_up(changing | LANDLOCK_ACCESS_FS_EXECUTE, {});
        if (const int error = forbid_calls(); error != 0) {
            return Error{std::string{"the NBD helper cannot be confined by seccomp ("} + std::strerror(error) +
                         "); use a kernel with CONFIG_SECCOMP_FILTER"};
        }
    }
    return {};
}

void confine_to_folder(const char* folder) {
    give_up(changing, {folder, "/dev/null"}); // on which qemu tries out whether it can lock files
}

} // namespace parapet::nbd
