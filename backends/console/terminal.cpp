// SPDX-License-Identifier: Apache-2.0
// The saved mode lives in static storage because signal handlers need it; they use async-signal-safe calls only.
#include "backends/console/terminal.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace parapet::console {
namespace {

struct Saved {
    int fd = -1;
    termios mode{};
};
Saved saved;
std::atomic<bool> armed{false};
static_assert(std::atomic<bool>::is_always_lock_free);

struct Watched {
    int signal;
    bool fault; ///< Taken over even from another handler, which then gets it after us.
    bool ours;
    struct sigaction before;
};
std::array<Watched, 9> watched{{{SIGTERM, false, false, {}},
                                {SIGINT, false, false, {}},
                                {SIGHUP, false, false, {}},
                                {SIGQUIT, false, false, {}},
                                {SIGABRT, true, false, {}},
                                {SIGSEGV, true, false, {}},
                                {SIGBUS, true, false, {}},
                                {SIGILL, true, false, {}},
                                {SIGFPE, true, false, {}}}};

void set_mode(int fd, const termios& mode) {
    // A background process that sets the mode is stopped by SIGTTOU unless it blocks it.
    sigset_t ttou;
    sigset_t before;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ttou, &before);
    tcsetattr(fd, TCSANOW, &mode);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void restore() {
    const int kept = errno;
    if (armed.exchange(false)) {
        set_mode(saved.fd, saved.mode);
    }
    errno = kept;
}

/// Restores the mode, then lets the signal do what it would have done without us.
void on_signal(int number, siginfo_t* info, void*) {
    restore();
    for (const Watched& entry : watched) {
        if (entry.signal == number) {
            sigaction(number, &entry.before, nullptr);
        }
    }
    // A real fault comes again by itself on return, with its true address; a sent signal has to be sent again.
    if (info->si_code <= 0) {
        raise(number);
    }
}

void take_signals() {
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (Watched& entry : watched) {
        sigaction(entry.signal, nullptr, &entry.before);
        const bool is_default = (entry.before.sa_flags & SA_SIGINFO) == 0 && entry.before.sa_handler == SIG_DFL;
        entry.ours = (is_default || entry.fault) && sigaction(entry.signal, &action, nullptr) == 0;
    }
}

void give_signals_back() {
    for (Watched& entry : watched) {
        struct sigaction now {};
        if (entry.ours && sigaction(entry.signal, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
            now.sa_sigaction == on_signal) {
            sigaction(entry.signal, &entry.before, nullptr);
        }
        entry.ours = false;
    }
}

void restore_on_exit_once() {
    static const bool registered = [] {
        std::atexit(restore);
        std::at_quick_exit(restore);
        return true;
    }();
    static_cast<void>(registered);
}

} // namespace

Terminal::Terminal(int fd) {
    termios mode{};
    if (armed.load() || saved.fd >= 0 || tcgetattr(fd, &mode) != 0) {
        return;
    }
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0) {
        return;
    }
    saved = {.fd = own, .mode = mode};
    owner_ = true;
    restore_on_exit_once();
    take_signals();
    armed.store(true);
    // No output processing either: the guest's own tty layer does it, and full-screen programs rely on that.
    cfmakeraw(&mode);
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    raw_ = tcsetattr(own, TCSANOW, &mode) == 0;
}

Terminal::~Terminal() {
    if (!owner_) {
        return;
    }
    restore();
    give_signals_back();
    close(saved.fd);
    saved.fd = -1;
}

bool Terminal::any_raw() {
    return armed.load();
}

} // namespace parapet::console
