// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/confinement.hpp"

#include "support/confinement.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"
#include "vmm/bootdisk/landlock.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <vector>

namespace parapet::bootdisk {
namespace {

/// Of the finder, whatever their arguments: what is open, memory, time. It opens, starts and signals nothing.
constexpr int finder_calls[] = {
    SCMP_SYS(read),           SCMP_SYS(write),        SCMP_SYS(writev),         SCMP_SYS(lseek),       SCMP_SYS(close),
    SCMP_SYS(fstat),          SCMP_SYS(pipe2),        SCMP_SYS(poll),           SCMP_SYS(sendmsg),     SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),       SCMP_SYS(munmap),       SCMP_SYS(mremap),         SCMP_SYS(brk),         SCMP_SYS(futex),
    SCMP_SYS(exit),           SCMP_SYS(exit_group),   SCMP_SYS(rt_sigaction),   SCMP_SYS(sigaltstack), SCMP_SYS(getpid),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(gettid),         SCMP_SYS(getrandom),   SCMP_SYS(time),
    SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday), SCMP_SYS(restart_syscall)};

/// Of the runner and its program, whatever their arguments: also files, which Landlock bounds.
constexpr int runner_calls[] = {
    SCMP_SYS(pread64),         SCMP_SYS(newfstatat), SCMP_SYS(statfs),     SCMP_SYS(fstatfs),    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),      SCMP_SYS(access),     SCMP_SYS(faccessat),  SCMP_SYS(faccessat2), SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),          SCMP_SYS(dup2),       SCMP_SYS(mmap),       SCMP_SYS(mprotect),   SCMP_SYS(madvise),
    SCMP_SYS(getppid),         SCMP_SYS(getuid),     SCMP_SYS(geteuid),    SCMP_SYS(getgid),     SCMP_SYS(getegid),
    SCMP_SYS(set_tid_address), SCMP_SYS(rseq),       SCMP_SYS(arch_prctl), SCMP_SYS(getrlimit),  SCMP_SYS(uname),
    SCMP_SYS(set_robust_list)};

/// What the program may not do, though the runner that starts it must.
constexpr int not_for_the_program[] = {SCMP_SYS(fork),       SCMP_SYS(clone),    SCMP_SYS(wait4),
                                       SCMP_SYS(pidfd_open), SCMP_SYS(seccomp),  SCMP_SYS(pidfd_send_signal),
                                       SCMP_SYS(prctl),      SCMP_SYS(recvmsg),  SCMP_SYS(sendto),
                                       SCMP_SYS(sendmsg),    SCMP_SYS(recvfrom), SCMP_SYS(pipe2)};

Error refused(const char* what, int error) {
    return Error{std::string{"this host does not let the reader of disk images be confined ("} + what + ": " +
                 std::strerror(error) + "); name a kernel with --kernel"};
}

Result<void> loaded(SeccompFilter filter) {
    const int error = filter.load();
    return error == 0 ? Result<void>{} : refused("seccomp", error);
}

Result<void> limit_resources(const Limits& limits) {
    const bool done = narrow_limit(RLIMIT_CPU, limits.cpu_seconds) && narrow_limit(RLIMIT_FSIZE, limits.output_bytes) &&
                      narrow_limit(RLIMIT_NOFILE, max_descriptors) &&
                      (instrumented || narrow_limit(RLIMIT_AS, limits.memory_bytes));
    return done ? Result<void>{} : refused("resource limits", errno);
}

constexpr Capabilities read_any_file = 1ULL << CAP_DAC_READ_SEARCH;

/// An empty path at a page of its own, whose address a program that is executed later does not know.
const char* make_empty_path() {
    void* const page = mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? nullptr : static_cast<const char*>(page);
}

void add_reading(SeccompFilter& filter) {
    filter.add_all(SCMP_ACT_ALLOW, finder_calls);
    filter.add_all(SCMP_ACT_ALLOW, runner_calls);
    // Opening for reading only, nothing made or cut short. O_TMPFILE asks for writing, too.
    constexpr scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(openat), {argument_masked(2, writing, O_RDONLY)}, "to read");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(open), {argument_masked(1, writing, O_RDONLY)}, "to read");
    // How large a block device is.
    for (const auto question : {scmp_datum_t{BLKGETSIZE64}, scmp_datum_t{BLKGETSIZE}, scmp_datum_t{BLKSSZGET}}) {
        filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, question)}, "the size of a block device");
    }
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands, "duplicates and flags");
    // Its own limits; those of another process could end that one. And only to ask.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {argument_is(0, 0), argument_is(2, 0)}, "to ask for its own");
}

SeccompFilter runner_filter(const char* no_path) {
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    add_reading(filter);
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(recvmsg));
    for (const int call : {SCMP_SYS(fork), SCMP_SYS(wait4), SCMP_SYS(pidfd_open), SCMP_SYS(seccomp)}) {
        filter.add(SCMP_ACT_ALLOW, call);
    }
    // The reads of a reader that waits for what it reads (served_image.hpp).
    for (const auto request : {scmp_datum_t{SECCOMP_IOCTL_NOTIF_RECV}, scmp_datum_t{SECCOMP_IOCTL_NOTIF_SEND}}) {
        filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, request)}, "the reader's reads");
    }
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(pidfd_send_signal), {argument_is(1, SIGKILL)}, "SIGKILL");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), {argument_is(0, PR_SET_NO_NEW_PRIVS)},
               "PR_SET_NO_NEW_PRIVS"); // libseccomp
    constexpr scmp_datum_t other_spaces =
        CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), {argument_masked(0, other_spaces, 0)}, "no namespaces");
    filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    // Nothing but the program: with AT_EMPTY_PATH any other path would still be one.
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(execveat),
               {argument_is(0, program_fd), argument_is(1, reinterpret_cast<scmp_datum_t>(no_path)),
                argument_is(4, AT_EMPTY_PATH)},
               "of the reader's descriptor, with no path");
    return filter;
}

SeccompFilter finder_filter() {
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, finder_calls);
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ftruncate)); // of what is open for writing: the memory files
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), {argument_masked(2, PROT_EXEC, 0)}, "not executable");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {argument_masked(2, PROT_EXEC, 0)}, "not executable");
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(madvise), 2, harmless_advice, "of its own memory only");
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands, "duplicates and flags");
    return filter;
}

SeccompFilter program_filter() {
    SeccompFilter filter{SCMP_ACT_ALLOW};
    filter.add_all(SCMP_ACT_ERRNO(EPERM), not_for_the_program);
    return filter;
}

} // namespace

Result<void> confine(const std::string& image, const Limits& limits) {
    if (auto limited = limit_resources(limits); !limited) {
        return limited;
    }
    // Root's process keeps one right, where it takes that to read an image that belongs to somebody else.
    const Capabilities kept = opens_without_capabilities(image.c_str(), O_RDONLY) ? 0 : read_any_file;
    if (const int error = give_up_privileges(kept); error != 0) {
        return refused("privileges", error);
    }
    const std::vector<std::string> libraries{"/usr", "/lib", "/lib64", "/etc/ld.so.cache", image};
    const std::vector<std::string> programs{"/proc/self/fd/" + std::to_string(program_fd),
                                            "/lib64/ld-linux-x86-64.so.2"};
    if (const int error = restrict_files(libraries, programs); error != 0) {
        return refused("Landlock", error);
    }
    return {};
}

Result<const char*> confine_runner() {
    const char* const no_path = make_empty_path();
    if (no_path == nullptr) {
        return refused("memory", errno);
    }
    if (auto done = loaded(runner_filter(no_path)); !done) {
        return done.error();
    }
    return no_path;
}

Result<void> confine_finder() {
    if (const int error = restrict_files({}, {}); error != 0) {
        return refused("Landlock", error);
    }
    return loaded(finder_filter());
}

Result<void> confine_program() {
    return loaded(program_filter());
}

std::vector<FilterText> filter_texts() {
    return {finder_filter().text("finder"), runner_filter("").text("runner"),
            program_filter().text("grub-fstest (beside the runner's)")};
}

} // namespace parapet::bootdisk
