// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include "support/confinement.hpp"
#include "support/landlock.hpp"
#include "support/log_output.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"
#include "vmm/kvm_lists.hpp"
#include "vmm/kvm_slots.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <linux/falloc.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <sched.h>
#include <span>
#include <string>
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
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(lseek),
    SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(close),
    // waiting
    SCMP_SYS(poll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(futex),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall),
    // the I/O thread's ring, which is restricted itself (backends/io/restricted_ring.hpp); no new one
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    // clients of the control socket, which is open already: no socket(), bind() or connect()
    SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
    // the end of processes that were started before
    SCMP_SYS(wait4),
    // memory; never executable, see below
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mincore),
    // threads and signals
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(gettid), SCMP_SYS(getpid),
    SCMP_SYS(geteuid),
    // time and chance
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom)};

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

/// A request of KVM's, and how it is called.
struct Request {
    unsigned long number;
    const char* name;
};
#define REQUEST(name)                                                                                                  \
    Request {                                                                                                          \
        name, #name                                                                                                    \
    }

constexpr Request of_system[] = {REQUEST(KVM_CREATE_VM), REQUEST(KVM_GET_VCPU_MMAP_SIZE)};
constexpr Request of_vm[] = {REQUEST(KVM_SET_IDENTITY_MAP_ADDR),
                             REQUEST(KVM_SET_TSS_ADDR),
                             REQUEST(KVM_CREATE_IRQCHIP),
                             REQUEST(KVM_SET_USER_MEMORY_REGION),
                             REQUEST(KVM_IOEVENTFD),
                             {kvm_set_gsi_routing, "KVM_SET_GSI_ROUTING"},
                             REQUEST(KVM_IRQFD),
                             REQUEST(KVM_CREATE_VCPU)};
constexpr Request of_vcpu[] = {REQUEST(KVM_RUN),
                               {kvm_set_cpuid2, "KVM_SET_CPUID2"},
                               {kvm_get_msrs, "KVM_GET_MSRS"},
                               {kvm_set_msrs, "KVM_SET_MSRS"},
                               REQUEST(KVM_GET_STATS_FD),
                               REQUEST(KVM_GET_REGS),
                               REQUEST(KVM_SET_REGS),
                               REQUEST(KVM_GET_SREGS),
                               REQUEST(KVM_SET_SREGS),
                               REQUEST(KVM_SET_XCRS),
                               REQUEST(KVM_SET_MP_STATE),
                               REQUEST(KVM_GET_TSC_KHZ)};
#undef REQUEST

/// By number, and only of the descriptors that they are for (kvm_slots.hpp).
void add_kvm(SeccompFilter& rules) {
    const auto add = [&rules](scmp_arg_cmp descriptor, std::span<const Request> requests, const char* of) {
        for (const auto& [number, name] : requests) {
            rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {descriptor, argument_is(1, number)}, std::string{name} + of);
        }
    };
    constexpr scmp_arg_cmp vcpu = argument_masked(0, ~scmp_datum_t{vcpu_slots - 1}, first_vcpu_slot);
    add(argument_is(0, system_slot), of_system, " of /dev/kvm");
    add(argument_is(0, vm_slot), of_vm, " of the VM");
    add(vcpu, of_vcpu, " of a vCPU");
    // A reboot's new VM takes the numbers of the old one.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(dup3), {argument_is(1, vm_slot)}, "to the VM's number");
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(dup3), {argument_masked(1, ~scmp_datum_t{vcpu_slots - 1}, first_vcpu_slot)},
              "to a vCPU's number");
}

/// Memory files, and punching holes into what is open.
void add_files(SeccompFilter& rules, bool shared_memory) {
    if (shared_memory) { // of a reboot's new guest
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(memfd_create), {argument_is(1, MFD_CLOEXEC | MFD_ALLOW_SEALING)},
                  "with seals");
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ftruncate));
    }
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fallocate), {argument_is(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)},
              "punching holes");
}

void add_conditional(SeccompFilter& rules) {
    // The terminal's modes, and what the frontend of a tap can take, which is known when it connects.
    for (const scmp_datum_t request : std::initializer_list<scmp_datum_t>{TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ,
                                                                          FIONBIO, FIONREAD, TUNSETOFFLOAD}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {argument_is(1, request)},
                  "modes of a terminal, FIONBIO, FIONREAD, TUNSETOFFLOAD");
    }
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, harmless_fcntl_commands, "duplicates and flags");
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, fcntl_commands_besides, "locks and seals");
    rules.add_each(SCMP_ACT_ALLOW, SCMP_SYS(madvise), 2, harmless_advice, "of its own memory only");
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), {argument_masked(2, PROT_EXEC, 0)}, "not executable");
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {argument_masked(2, PROT_EXEC, 0)}, "not executable");
    // Threads yes, processes no. clone3's flags cannot be seen; without it the C library uses clone.
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), {argument_masked(0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD)},
              "threads");
    rules.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), {argument_is(0, static_cast<scmp_datum_t>(::getpid()))},
              "its own threads");
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), {argument_is(0, PR_SET_NAME)}, "PR_SET_NAME");
    // Of the calling thread (backends/io/scheduling.hpp).
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_getscheduler), {argument_is(0, 0)}, "of the thread itself");
    for (const scmp_datum_t policy : {SCHED_OTHER, SCHED_BATCH}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sched_setscheduler), {argument_is(0, 0), argument_is(1, policy)},
                  "of the thread itself, SCHED_OTHER or SCHED_BATCH");
    }
    for (const scmp_datum_t option : {SO_PEERCRED, SO_ERROR}) {
        rules.add(SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), {argument_is(2, option)}, "SO_PEERCRED, SO_ERROR");
    }
}

/// Refused calls fail as if by right: the callers have a sentence for that.
SeccompFilter make_filter(const SandboxNeeds& needs) {
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, allowed);
    add_kvm(filter);
    add_files(filter, needs.shared_memory);
    add_conditional(filter);
    filter.add_all(SCMP_ACT_KILL_PROCESS, deadly);
    return filter;
}

Error refused(const char* what, int error) {
    return Error{std::string{"this host does not let the domain's process be "} + what + " (" + std::strerror(error) +
                 "); use a kernel with CONFIG_SECCOMP_FILTER, or set PARAPET_SANDBOX=off"};
}

} // namespace

FilterText sandbox_text() {
    return make_filter({}).text("domain");
}

bool sandbox_wanted() {
    return confinement_wanted();
}

Result<void> enter_sandbox(const SandboxNeeds& needs) {
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
    SeccompFilter filter = make_filter(needs);
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
