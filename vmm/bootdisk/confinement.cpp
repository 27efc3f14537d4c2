// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/confinement.hpp"

#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"
#include "vmm/bootdisk/landlock.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

/// Calls that are allowed whatever their arguments: reading what is open, memory, waiting for children of our own.
constexpr int allowed[] = {SCMP_SYS(read),
                           SCMP_SYS(write),
                           SCMP_SYS(writev),
                           SCMP_SYS(pread64),
                           SCMP_SYS(lseek),
                           SCMP_SYS(close),
                           SCMP_SYS(ftruncate), // of what is open for writing: the memory files
                           SCMP_SYS(fstat),
                           SCMP_SYS(newfstatat),
                           SCMP_SYS(statfs),
                           SCMP_SYS(fstatfs),
                           SCMP_SYS(readlink),
                           SCMP_SYS(readlinkat),
                           SCMP_SYS(access),
                           SCMP_SYS(faccessat),
                           SCMP_SYS(faccessat2),
                           SCMP_SYS(getdents64),
                           SCMP_SYS(getcwd),
                           SCMP_SYS(pipe2),
                           SCMP_SYS(dup2),
                           SCMP_SYS(poll),
                           SCMP_SYS(mmap),
                           SCMP_SYS(mprotect),
                           SCMP_SYS(munmap),
                           SCMP_SYS(mremap),
                           SCMP_SYS(brk),
                           SCMP_SYS(madvise),
                           SCMP_SYS(fork),
                           SCMP_SYS(vfork),
                           SCMP_SYS(wait4),
                           SCMP_SYS(exit),
                           SCMP_SYS(exit_group),
                           SCMP_SYS(rt_sigaction),
                           SCMP_SYS(rt_sigprocmask),
                           SCMP_SYS(rt_sigreturn),
                           SCMP_SYS(sigaltstack),
                           SCMP_SYS(getpid),
                           SCMP_SYS(gettid),
                           SCMP_SYS(getppid),
                           SCMP_SYS(getuid),
                           SCMP_SYS(geteuid),
                           SCMP_SYS(getgid),
                           SCMP_SYS(getegid),
                           SCMP_SYS(futex),
                           SCMP_SYS(set_tid_address),
                           SCMP_SYS(set_robust_list),
                           SCMP_SYS(rseq),
                           SCMP_SYS(arch_prctl),
                           SCMP_SYS(setrlimit),
                           SCMP_SYS(getrlimit),
                           SCMP_SYS(getrandom),
                           SCMP_SYS(uname),
                           SCMP_SYS(clock_gettime),
                           SCMP_SYS(gettimeofday),
                           SCMP_SYS(time),
                           SCMP_SYS(seccomp),
                           SCMP_SYS(prctl)};

/// What the program may not do, though the process that starts it must.
constexpr int not_for_the_program[] = {SCMP_SYS(fork),    SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(kill),
                                       SCMP_SYS(seccomp), SCMP_SYS(prctl), SCMP_SYS(pipe2), SCMP_SYS(setrlimit)};

Error refused(const char* what, int error) {
    return Error{std::string{"this host does not let the reader of disk images be confined ("} + what + ": " +
                 std::strerror(error) + "); name a kernel with --kernel"};
}

Result<void> loaded(SeccompFilter& filter) {
    const int error = filter.load();
    return error == 0 ? Result<void>{} : refused("seccomp", error);
}

Result<void> limit_resources(const Limits& limits) {
    const bool done = narrow_limit(RLIMIT_CORE, 0) && narrow_limit(RLIMIT_CPU, limits.cpu_seconds) &&
                      narrow_limit(RLIMIT_FSIZE, limits.output_bytes) && narrow_limit(RLIMIT_NOFILE, max_descriptors) &&
                      (instrumented || narrow_limit(RLIMIT_AS, limits.memory_bytes));
    return done ? Result<void>{} : refused("resource limits", errno);
}

/// Root's process keeps one right, to read an image that belongs to somebody else; executing a program adds none.
void drop_capabilities() {
    for (int capability = 0; capability <= CAP_LAST_CAP + 8; capability++) {
        if (capability != CAP_DAC_READ_SEARCH) {
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (syscall(SYS_capget, &header, data) == 0) {
        data[0].permitted &= 1U << CAP_DAC_READ_SEARCH;
        data[0].effective = data[0].permitted;
        data[0].inheritable = 0;
        data[1] = {};
        (void)syscall(SYS_capset, &header, data);
    }
}

Result<void> filter_calls() {
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, allowed);
    // Opening for reading only, nothing made or cut short. O_TMPFILE asks for writing, too.
    constexpr scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(openat), {argument_masked(2, writing, O_RDONLY)});
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(open), {argument_masked(1, writing, O_RDONLY)});
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(execveat), {argument_is(0, program_fd), argument_is(4, AT_EMPTY_PATH)});
    // How large a block device is.
    for (const auto question : {scmp_datum_t{BLKGETSIZE64}, scmp_datum_t{BLKGETSIZE}, scmp_datum_t{BLKSSZGET}}) {
        filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, question)});
    }
    constexpr scmp_datum_t other_spaces =
        CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), {argument_masked(0, other_spaces, 0)});
    filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands);
    // Its own limits; those of another process could end that one.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {argument_is(0, 0)});
    // A child that takes too long.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(kill), {argument_is(1, SIGKILL)});
    return loaded(filter);
}

} // namespace

Result<void> confine(const std::string& image, const Limits& limits) {
    if (auto limited = limit_resources(limits); !limited) {
        return limited;
    }
    drop_capabilities();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return refused("no_new_privs", errno);
    }
    if (const int error = restrict_files({"/", "/usr", "/lib", "/lib64", "/etc/ld.so.cache", image}); error != 0) {
        return refused("Landlock", error);
    }
    return filter_calls();
}

Result<void> confine_program() {
    SeccompFilter filter{SCMP_ACT_ALLOW};
    filter.add_all(SCMP_ACT_ERRNO(EPERM), not_for_the_program);
    return loaded(filter);
}

} // namespace parapet::bootdisk
