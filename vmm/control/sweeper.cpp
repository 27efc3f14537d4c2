// SPDX-License-Identifier: Apache-2.0
// After fork() the child uses system calls only, and libseccomp, before it has heard anything.
#include "vmm/control/sweeper.hpp"

#include "support/confinement.hpp"
#include "support/landlock.hpp"
#include "support/process_limits.hpp"
#include "support/seccomp_filter.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <string_view>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace parapet::vmm::control {

namespace {

constexpr char forget = 'f';

constexpr int sweeper_calls[] = {SCMP_SYS(read),         SCMP_SYS(write),           SCMP_SYS(poll),
                                 SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit_group)};

struct Pipe {
    UniqueFd read, write;
};

bool make_pipe(Pipe& pipe) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return false;
    }
    pipe = {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
    return true;
}

/// The descriptors of the sweeper, and no others: it must not keep anybody's pipe open.
void close_all_but(std::array<int, 5> kept) {
    std::sort(kept.begin(), kept.end());
    unsigned first = 0;
    for (const int descriptor : kept) {
        if (descriptor < 0) {
            continue;
        }
        if (static_cast<unsigned>(descriptor) > first) {
            ::syscall(SYS_close_range, first, descriptor - 1, 0);
        }
        first = static_cast<unsigned>(descriptor) + 1;
    }
    ::syscall(SYS_close_range, first, ~0U, 0);
}

void write_all(int file, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(file, text.data(), text.size());
        if (count <= 0 && errno != EINTR) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
}

/// The log's file, and how much of it may still be written.
struct BoundedLog {
    int file;
    std::size_t left = Sweeper::most_log_bytes;

    void write(std::string_view text) {
        if (left == 0) {
            return;
        }
        write_all(file, text.substr(0, left));
        left -= std::min(left, text.size());
        if (left == 0) {
            write_all(file, "\n[the log is full: what follows is lost]\n");
        }
    }
};

/// Nothing but what attend() and the end take. unlinkat() takes a path, of which the filter sees the folder only; so
/// there is no other folder in sight, or it may remove nothing elsewhere.
void confine(int folder) {
    if (instrumented || !confinement_wanted()) {
        return;
    }
    if (!enter_empty_root()) {
        const landlock::Allowed own_folder[] = {
            {"/proc/self/fd/" + std::to_string(folder), LANDLOCK_ACCESS_FS_REMOVE_FILE}};
        (void)(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && landlock::restrict_all(own_folder, true) == 0);
    }
    (void)give_up_privileges();
    SeccompFilter filter{SCMP_ACT_ERRNO(EPERM)};
    filter.add_all(SCMP_ACT_ALLOW, sweeper_calls);
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(unlinkat),
               {argument_is(0, static_cast<scmp_datum_t>(folder)), argument_is(2, 0)});
    (void)filter.load(); // where it is refused, the domain's process does not start either
}

/// Until the domain's process has gone. Returns whether the log is to be removed.
bool attend(int life, int log_pipe, BoundedLog log) {
    std::array<char, 4096> bytes;
    std::array<pollfd, 2> waits{{{life, POLLIN, 0}, {log_pipe, POLLIN, 0}}};
    bool forgotten = log.file < 0;
    while (waits[0].fd >= 0 || waits[1].fd >= 0) {
        // A process that ends still has the log's pipe as standard error: what is in it counts, its end does not.
        const bool over = waits[0].fd < 0;
        const int ready = ::poll(waits.data(), waits.size(), over ? 0 : -1);
        if ((ready < 0 && errno != EINTR) || (ready == 0 && over)) {
            break;
        }
        if (ready < 0) {
            continue;
        }
        for (pollfd& wait : waits) {
            if (wait.fd < 0 || wait.revents == 0) {
                continue;
            }
            const ssize_t count = ::read(wait.fd, bytes.data(), bytes.size());
            if (count == 0 || (count < 0 && errno != EINTR)) {
                wait.fd = -1;
            } else if (count > 0 && &wait == waits.data()) {
                forgotten = bytes[0] == forget;
            } else if (count > 0) {
                log.write({bytes.data(), static_cast<std::size_t>(count)});
            }
        }
    }
    return forgotten;
}

} // namespace

Result<Sweeper> Sweeper::start(const Files& files) {
    Pipe life;
    Pipe log;
    if (!make_pipe(life) || (files.keep_log && !make_pipe(log))) {
        return Error{std::string{"cannot make a pipe ("} + std::strerror(errno) +
                     "); raise the limit of open files (ulimit -n)"};
    }
    const std::string socket_name = files.name + ".sock";
    const std::string lock_name = files.name + ".lock";
    const std::string log_name = files.name + ".log";
    UniqueFd log_file;
    if (files.keep_log) {
        log_file = UniqueFd{::openat(files.folder, log_name.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)};
        if (!log_file.valid()) {
            return Error{"the log '" + log_name + "' cannot be written: " + std::strerror(errno)};
        }
    }
    const pid_t child = ::fork();
    if (child < 0) {
        return Error{std::string{"cannot start a process ("} + std::strerror(errno) +
                     "); raise the limit of processes (ulimit -u)"};
    }
    if (child == 0) {
        ::setsid(); // a signal to the domain's group must find it alive afterwards
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
            ::signal(signal, SIG_IGN);
        }
        ::prctl(PR_SET_NAME, "parapet-sweeper");
        close_all_but({life.read.get(), log.read.get(), log_file.get(), files.folder, files.lock});
        confine(files.folder);
        if (attend(life.read.get(), log.read.get(), {log_file.get()}) && files.keep_log) {
            ::unlinkat(files.folder, log_name.c_str(), 0);
        }
        ::unlinkat(files.folder, socket_name.c_str(), 0);
        ::unlinkat(files.folder, lock_name.c_str(), 0);
        ::_exit(0);
    }
    Sweeper sweeper;
    sweeper.process_ = child;
    sweeper.life_ = std::move(life.write);
    sweeper.log_ = std::move(log.write);
    return sweeper;
}

Sweeper::~Sweeper() {
    if (process_ <= 0) {
        return;
    }
    for (UniqueFd* pipe : {&life_, &log_}) {
        const UniqueFd closed = std::move(*pipe);
    }
    // Within bounds: a process that this one started may hold the pipe too.
    constexpr timespec nap{.tv_sec = 0, .tv_nsec = 2'000'000};
    for (int i = 0; i < 500 && ::waitpid(process_, nullptr, WNOHANG) == 0; i++) {
        ::nanosleep(&nap, nullptr);
    }
}

void Sweeper::forget_log() {
    (void)!::write(life_.get(), &forget, 1);
}

} // namespace parapet::vmm::control
