// SPDX-License-Identifier: Apache-2.0
#include "backends/nbd/helper/confine.hpp"

#include "support/confinement.hpp"
#include "support/landlock.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace parapet::nbd {

namespace {

constexpr std::uint64_t changing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

/// Of a client of NBD, TLS and name look-ups included, whatever their arguments.
constexpr int client_calls[] = {
    // what is open: the server, the domain's process, their memory
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(pread64),
    SCMP_SYS(fstat), SCMP_SYS(dup),
    // connections
    SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(socketpair),
    // certificates, and what looks names up: files to read, which Landlock has it that they are
    SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd),
    SCMP_SYS(uname), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    // memory; executable too, as libraries of the name service are loaded when they are needed
    SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(futex),
    // itself
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(restart_syscall),
    // time and chance
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom)};

/// Network, and AF_NETLINK: which addresses this host has, for getaddrinfo().
constexpr int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK};

/// What neither qemu-nbd nor the helper beside it ever does. A list of what they may do would have to follow qemu's.
constexpr int not_for_qemu[] = {SCMP_SYS(ptrace),
                                SCMP_SYS(process_vm_readv),
                                SCMP_SYS(process_vm_writev),
                                SCMP_SYS(bpf),
                                SCMP_SYS(init_module),
                                SCMP_SYS(finit_module),
                                SCMP_SYS(delete_module),
                                SCMP_SYS(kexec_load),
                                SCMP_SYS(mount),
                                SCMP_SYS(umount2),
                                SCMP_SYS(pivot_root),
                                SCMP_SYS(chroot),
                                SCMP_SYS(setns),
                                SCMP_SYS(unshare),
                                SCMP_SYS(keyctl),
                                SCMP_SYS(add_key),
                                SCMP_SYS(request_key),
                                SCMP_SYS(userfaultfd),
                                SCMP_SYS(perf_event_open),
                                SCMP_SYS(open_by_handle_at),
                                SCMP_SYS(move_mount),
                                SCMP_SYS(fsopen),
                                SCMP_SYS(open_tree),
                                SCMP_SYS(pidfd_getfd),
                                SCMP_SYS(fsmount),
                                SCMP_SYS(swapon),
                                SCMP_SYS(swapoff),
                                SCMP_SYS(reboot),
                                SCMP_SYS(settimeofday),
                                SCMP_SYS(clock_settime),
                                SCMP_SYS(iopl),
                                SCMP_SYS(ioperm),
                                SCMP_SYS(kexec_file_load)};

int allow_client() {
    if (instrumented) {
        return 0;
    }
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, client_calls);
    constexpr scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(openat), {argument_masked(2, writing, O_RDONLY)});
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(open), {argument_masked(1, writing, O_RDONLY)});
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(socket), 0, families);
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands);
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(madvise), 2, harmless_advice);
    for (const scmp_datum_t request : {scmp_datum_t{FIONREAD}, scmp_datum_t{FIONBIO}}) {
        filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, request)});
    }
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {argument_is(0, 0), argument_is(2, 0)}); // to ask
    return filter.load();
}

int forbid_qemu() {
    SeccompFilter filter{SCMP_ACT_ALLOW};
    filter.add_all(SCMP_ACT_ERRNO(EPERM), not_for_qemu);
    return filter.load();
}

/// Of root's rights only the one that it takes to open an image of somebody else's.
Capabilities needed_for(const Settings& settings) {
    const int flags = settings.read_only ? O_RDONLY : O_RDWR;
    if (settings.image.empty() || opens_without_capabilities(settings.image.c_str(), flags)) {
        return 0;
    }
    return 1ULL << CAP_DAC_OVERRIDE;
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
    if (const int error = remote ? allow_client() : forbid_qemu(); error != 0) {
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
