// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace parapet::vmm {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool instrumented = true; // the sanitizers' own runtime needs more
#else
constexpr bool instrumented = false;
#endif

/// Calls that are allowed whatever their arguments.
constexpr int allowed[] = {
    // bytes of what is open
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(fstat), SCMP_SYS(close), SCMP_SYS(dup),
    // waiting
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(pipe),
    SCMP_SYS(pipe2), SCMP_SYS(futex), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    // the I/O thread's ring, which is restricted itself (backends/io/restricted_ring.hpp); no new one
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    // clients of the control socket, which is open already: no socket(), bind() or connect()
    SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
    // the end of processes that were started before
    SCMP_SYS(wait4),
    // memory; never executable, see below
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore), SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
    // threads and signals
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(membarrier),
    // time and chance
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom)};

/// What no fault of ours leads to: whoever calls these has taken the process over.
constexpr int deadly[] = {SCMP_SYS(execve),
                          SCMP_SYS(execveat),
                          SCMP_SYS(ptrace),
                          SCMP_SYS(process_vm_readv),
                          SCMP_SYS(process_vm_writev),
                          SCMP_SYS(bpf),
                          SCMP_SYS(init_module),
                          SCMP_SYS(finit_module),
                          SCMP_SYS(kexec_load),
                          SCMP_SYS(mount),
                          SCMP_SYS(setns),
                          SCMP_SYS(unshare),
                          SCMP_SYS(userfaultfd),
                          SCMP_SYS(keyctl)};

struct Release {
    void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

/// Adds rules until one is refused.
class Rules {
public:
    explicit Rules(scmp_filter_ctx filter) : filter_{filter} {}

    void add(std::uint32_t action, int call) { keep(seccomp_rule_add(filter_, action, call, 0)); }
    void add(std::uint32_t action, int call, scmp_arg_cmp test) { add(action, call, {test}); }
    /// If all of `tests` hold.
    void add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> tests) {
        keep(seccomp_rule_add_array(filter_, action, call, static_cast<unsigned>(tests.size()), tests.begin()));
    }
    /// 0, or the first refusal's errno.
    [[nodiscard]] int error() const { return error_; }

private:
    void keep(int result) {
        if (error_ == 0 && result != 0) {
            error_ = -result;
        }
    }
    scmp_filter_ctx filter_;
    int error_ = 0;
};

constexpr scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
constexpr scmp_arg_cmp equal(unsigned argument, scmp_datum_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}

void add_conditional(Rules& rules) {
    // KVM's ioctls on whatever is open, the terminal's modes, and what the frontend of a tap can take, which is known
    // when it connects.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), masked(1, 0xff00, KVMIO << 8));
    for (const scmp_datum_t request : std::initializer_list<scmp_datum_t>{TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ,
                                                                          FIONBIO, FIONREAD, TUNSETOFFLOAD}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), equal(1, request));
    }
    // Not F_SETOWN and F_SETSIG, which are a way to signal other processes.
    for (const scmp_datum_t command :
         std::initializer_list<scmp_datum_t>{F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_OFD_GETLK,
                                             F_OFD_SETLK, F_ADD_SEALS, F_GET_SEALS}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), equal(1, command));
    }
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
    // Threads yes, processes no. clone3's flags cannot be seen; without it the C library uses clone.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), masked(0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD));
    rules.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), equal(0, static_cast<scmp_datum_t>(::getpid())));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), equal(0, PR_SET_NAME));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), equal(0, 0));
    // Of the calling thread (backends/io/scheduling.hpp).
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_getscheduler), equal(0, 0));
    for (const scmp_datum_t policy : {SCHED_OTHER, SCHED_BATCH}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler), {equal(0, 0), equal(1, policy)});
    }
    for (const scmp_datum_t option : {SO_PEERCRED, SO_ERROR}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), equal(2, option));
    }
    // fstat() of the C library; it names no file.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), equal(3, AT_EMPTY_PATH));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(statx), equal(2, AT_EMPTY_PATH | AT_STATX_DONT_SYNC)); // of disk images
}

Error refused(int error) {
    return Error{std::string{"this host does not let the domain's process be confined by seccomp ("} +
                 std::strerror(error) + "); use a kernel with CONFIG_SECCOMP_FILTER, or set PARAPET_SANDBOX=off"};
}

} // namespace

Result<void> enter_sandbox() {
    static bool entered = false;
    const char* wish = std::getenv("PARAPET_SANDBOX");
    if (entered || instrumented || (wish != nullptr && std::string_view{wish} == "off")) {
        return {};
    }
    // Refused calls fail as if by right: the callers have a sentence for that.
    const Filter filter{seccomp_init(SCMP_ACT_ERRNO(EPERM))};
    if (!filter) {
        return refused(ENOMEM);
    }
    Rules rules{filter.get()};
    for (const int call : allowed) {
        rules.add(SCMP_ACT_ALLOW, call);
    }
    add_conditional(rules);
    for (const int call : deadly) {
        rules.add(SCMP_ACT_KILL_PROCESS, call);
    }
    if (rules.error() != 0) {
        return refused(rules.error());
    }
    // no_new_privs is libseccomp's default. Log what is refused, where the kernel can; all threads, not only this one.
    (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (const int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); error != 0) {
        return refused(-error);
    }
    if (const int error = seccomp_load(filter.get()); error != 0) {
        return refused(-error);
    }
    entered = true;
    return {};
}

} // namespace parapet::vmm
