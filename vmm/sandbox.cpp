// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include "support/confinement.hpp"
#include "support/landlock.hpp"
#include "support/log_output.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace parapet::vmm {

namespace {

/// Calls that are allowed whatever their arguments.
constexpr int allowed[] = {
    // bytes of what is open
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(close), SCMP_SYS(dup),
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
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mincore), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    // threads and signals
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(geteuid), SCMP_SYS(membarrier),
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

/// Locks of disk images, seals of memory files.
constexpr int fcntl_commands_besides[] = {F_OFD_GETLK, F_OFD_SETLK, F_ADD_SEALS, F_GET_SEALS};

void add_conditional(SeccompFilter& rules) {
    // KVM's ioctls on whatever is open, the terminal's modes, and what the frontend of a tap can take, which is known
    // when it connects.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_masked(1, 0xff00, KVMIO << 8)});
    for (const scmp_datum_t request : std::initializer_list<scmp_datum_t>{TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ,
                                                                          FIONBIO, FIONREAD, TUNSETOFFLOAD}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, request)});
    }
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands);
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, fcntl_commands_besides);
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(madvise), 2, harmless_advice);
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), {argument_masked(2, PROT_EXEC, 0)});
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {argument_masked(2, PROT_EXEC, 0)});
    // Threads yes, processes no. clone3's flags cannot be seen; without it the C library uses clone.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), {argument_masked(0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD)});
    rules.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), {argument_is(0, static_cast<scmp_datum_t>(::getpid()))});
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), {argument_is(0, PR_SET_NAME)});
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), {argument_is(0, 0)});
    // Of the calling thread (backends/io/scheduling.hpp).
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_getscheduler), {argument_is(0, 0)});
    for (const scmp_datum_t policy : {SCHED_OTHER, SCHED_BATCH}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler), {argument_is(0, 0), argument_is(1, policy)});
    }
    for (const scmp_datum_t option : {SO_PEERCRED, SO_ERROR}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), {argument_is(2, option)});
    }
}

Error refused(const char* what, int error) {
    return Error{std::string{"this host does not let the domain's process be "} + what + " (" + std::strerror(error) +
                 "); use a kernel with CONFIG_SECCOMP_FILTER, or set PARAPET_SANDBOX=off"};
}

} // namespace

bool sandbox_wanted() {
    return confinement_wanted();
}

Result<void> enter_sandbox() {
    static bool entered = false;
    if (entered || instrumented || !sandbox_wanted()) {
        return {};
    }
    // It makes namespaces and drops capabilities thread by thread, so there is to be but one.
    constexpr std::chrono::milliseconds patience{200};
    (void)LogOutput::standard_error().rest(patience);
    (void)enter_empty_root();
    if (const int error = give_up_privileges(); error != 0) {
        return refused("its privileges taken", error);
    }
    if (const int error = landlock::restrict_all({}, true); error != 0) {
        return refused("confined by Landlock", error);
    }
    // Refused calls fail as if by right: the callers have a sentence for that.
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, allowed);
    add_conditional(filter);
    filter.add_all(SCMP_ACT_KILL_PROCESS, deadly);
    // Log what is refused, where the kernel can; all threads, not only this one.
    filter.wish(SCMP_FLTATR_CTL_LOG, 1);
    filter.demand(SCMP_FLTATR_CTL_TSYNC, 1);
    if (const int error = filter.load(); error != 0) {
        return refused("confined by seccomp", error);
    }
    entered = true;
    return {};
}

} // namespace parapet::vmm
