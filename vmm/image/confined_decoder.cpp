// SPDX-License-Identifier: Apache-2.0
#include "vmm/image/confined_decoder.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/confinement.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"

namespace parapet::image {
namespace {

/// The output and lzma's dictionary, and what this process has besides.
constexpr rlim_t most_memory = 4ULL << 30;
/// A kernel takes one second, thirty in an emulated machine.
constexpr rlim_t most_seconds = 300;

/// Statuses of the child: how the decoder ended, from here on; or an errno of its confinement.
constexpr int first_outcome = 200;
constexpr int last_outcome = first_outcome + static_cast<int>(Decoded::no_memory);

/// What it needs of the host's kernel: memory that belongs to no file, and the end. (sigaltstack: the sanitizers.)
/// Nothing to sleep by, which would outlast the limit of CPU time.
constexpr int allowed[] = {SCMP_SYS(brk),        SCMP_SYS(munmap),      SCMP_SYS(mremap),      SCMP_SYS(exit),
                           SCMP_SYS(exit_group), SCMP_SYS(getrandom),   SCMP_SYS(sched_yield), SCMP_SYS(sigaltstack),
                           SCMP_SYS(gettid),     SCMP_SYS(rt_sigreturn)};

/// 0 or an errno.
int limit_resources() {
    const bool done = narrow_limit(RLIMIT_CORE, 0) && narrow_limit(RLIMIT_FSIZE, 0) && narrow_limit(RLIMIT_NOFILE, 0) &&
                      narrow_limit(RLIMIT_CPU, most_seconds) && (instrumented || narrow_limit(RLIMIT_AS, most_memory));
    return done ? 0 : errno;
}

SeccompFilter make_filter(int file) {
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, allowed);
    if (file >= 0)
        filter.add(SCMP_ACT_ALLOW, SCMP_SYS(preadv), {argument_is(0, static_cast<scmp_datum_t>(file))},
                   "from the kernel's file");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap),
               {argument_masked(2, PROT_EXEC, 0), argument_masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS)},
               "no file, not executable");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {argument_masked(2, PROT_EXEC, 0)}, "not executable");
    filter.add_each(SCMP_ACT_ALLOW, SCMP_SYS(madvise), 2, harmless_advice, "of its own memory only");
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(futex), {argument_masked(1, FUTEX_CMD_MASK, FUTEX_WAKE)},
               "FUTEX_WAKE"); // pthread_once()
    return filter;
}

/// 0 or an errno.
int close_all_but(int file) {
    const auto kept = static_cast<unsigned>(file); // -1: beyond all
    const bool below = file <= 0 || syscall(SYS_close_range, 0U, kept - 1, 0U) == 0;
    const bool above = syscall(SYS_close_range, kept + 1, ~0U, 0U) == 0;
    return below && above ? 0 : errno;
}

/// In the child, for good. 0 or an errno.
int confine(pid_t parent, int file) {
    signal(SIGBUS, SIG_DFL); // this process's own handler has something to say about it
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return errno;
    if (getppid() != parent)
        return ECHILD; // it has ended before it could be watched
    if (const int error = close_all_but(file); error != 0)
        return error;
    if (const int error = limit_resources(); error != 0)
        return error;
    // A kernel is shown to its guest, so what was in this memory might be: passwords for a proxy, say.
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
        explicit_bzero(*variable, std::strlen(*variable));
    if (const int error = give_up_privileges(); error != 0)
        return error;
    return make_filter(file).load();
}

Error failed(const std::string& why) {
    return Error{"cannot be read: " + why};
}

Error could_not(int error) {
    return failed(std::string{"this host does not let the process that does it be started and confined ("} +
                  std::strerror(error) + "); use a host kernel with CONFIG_SECCOMP_FILTER, or PARAPET_SANDBOX=off");
}

} // namespace

FilterText decoder_filter_text() {
    return make_filter(0).text("decoder");
}

Result<Decoded> decode_confined(const ConfinedWork& work, int file, Output& out) {
    auto answer = Mapping::reserve_shared(sizeof(uint64_t));
    if (!answer)
        return failed(answer.error().message);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0)
        return could_not(errno);
    if (child == 0) {
        if (const int error = confine(parent, file); error != 0)
            _exit(error);
        int outcome = first_outcome;
        try {
            outcome += static_cast<int>(work(out));
        } catch (...) { // memory, most likely; and nothing of the caller's may run here
            outcome += static_cast<int>(Decoded::no_memory);
        }
        const uint64_t used = out.used();
        std::memcpy(answer->bytes().data(), &used, sizeof used);
        _exit(outcome);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return could_not(errno);
    }
    // From here on the memory is this process's alone.
    if (WIFEXITED(status) && WEXITSTATUS(status) < first_outcome && WEXITSTATUS(status) != 0)
        return could_not(WEXITSTATUS(status));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return failed("the process that does it was killed; the host may have too little memory for it");
    uint64_t used = 0;
    std::memcpy(&used, answer->bytes().data(), sizeof used);
    if (!WIFEXITED(status) || WEXITSTATUS(status) < first_outcome || WEXITSTATUS(status) > last_outcome ||
        used > out.room().size())
        return failed("its data broke the process that does it" +
                      (WIFSIGNALED(status) ? " (signal " + std::to_string(WTERMSIG(status)) + ")" : std::string{}) +
                      "; copy or download it again");
    out.add(used);
    return static_cast<Decoded>(WEXITSTATUS(status) - first_outcome);
}

} // namespace parapet::image
