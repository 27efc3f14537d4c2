// SPDX-License-Identifier: Apache-2.0
// Raw mode comes back on every way out: each way is walked by a forked child on a pty of its own.
#include "backends/console/terminal.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace parapet::console {
namespace {

bool same(const termios& a, const termios& b) {
    return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_lflag == b.c_lflag && a.c_cflag == b.c_cflag &&
           std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

volatile int* volatile wild_pointer = nullptr; // volatile: the compiler must not see what we do with it

void leave_by_uncaught_exception() noexcept {
    const std::function<void()> thrower = [] { throw std::runtime_error{"uncaught"}; };
    thrower();
}

class TerminalTest : public testing::Test {
protected:
    int master = -1;
    int slave = -1;
    termios before{};

    void SetUp() override {
        ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
        ASSERT_EQ(tcgetattr(slave, &before), 0);
        ASSERT_NE(before.c_lflag & ICANON, 0U);
    }
    void TearDown() override {
        close(master);
        close(slave);
    }
    [[nodiscard]] termios mode() const {
        termios now{};
        EXPECT_EQ(tcgetattr(slave, &now), 0);
        return now;
    }
    [[nodiscard]] bool is_raw() const { return (mode().c_lflag & (ICANON | ECHO | ISIG)) == 0; }

    /// A child enters raw mode and calls `leave`; returns its wait status. `signal`: sent once it is raw.
    int child(const std::function<void()>& leave, int signal = 0) {
        std::array<int, 2> ready{};
        EXPECT_EQ(pipe(ready.data()), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            const rlimit no_core{0, 0};
            setrlimit(RLIMIT_CORE, &no_core);
            const int null = open("/dev/null", O_WRONLY);
            dup2(null, 2);
            Terminal terminal{slave};
            if (!terminal.raw() || write(ready[1], "r", 1) != 1) {
                _exit(99);
            }
            leave();
            _exit(98); // `leave` returned: restored by nobody
        }
        close(ready[1]);
        char byte = 0;
        EXPECT_EQ(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        if (signal != 0) {
            EXPECT_TRUE(is_raw());
            kill(pid, signal);
        }
        int status = 0;
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        return status;
    }
};

TEST_F(TerminalTest, ScopeRestores) {
    {
        const Terminal terminal{slave};
        EXPECT_TRUE(terminal.raw());
        EXPECT_TRUE(Terminal::any_raw());
        EXPECT_TRUE(is_raw());
        const Terminal second{slave}; // one per process
        EXPECT_FALSE(second.raw());
    }
    EXPECT_TRUE(same(mode(), before));
    EXPECT_FALSE(Terminal::any_raw());
    const Terminal again{slave};
    EXPECT_TRUE(again.raw());
}

TEST_F(TerminalTest, ExceptionRestores) {
    try {
        const Terminal terminal{slave};
        throw std::runtime_error{"x"};
    } catch (const std::runtime_error&) {
        EXPECT_TRUE(same(mode(), before));
    }
}

TEST_F(TerminalTest, NotATerminalIsLeftAlone) {
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const Terminal terminal{null};
    EXPECT_FALSE(terminal.raw());
    close(null);
    const Terminal closed{-1};
    EXPECT_FALSE(closed.raw());
}

TEST_F(TerminalTest, EachSignalRestoresAndStillEndsTheProcess) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS}) {
        const int status = child([] { pause(); }, number);
        EXPECT_TRUE(same(mode(), before)) << "signal " << number;
        EXPECT_TRUE(WIFSIGNALED(status) || number >= SIGBUS) << "signal " << number;
        if (WIFSIGNALED(status)) {
            EXPECT_EQ(WTERMSIG(status), number);
        }
    }
}

TEST_F(TerminalTest, KilledProcessIsTheOneWayThatCannotRestore) {
    child([] { pause(); }, SIGKILL); // shows that the other tests can fail
    EXPECT_TRUE(is_raw());
}

TEST_F(TerminalTest, ExitAndQuickExitRestore) {
    int status = child([] { std::quick_exit(7); });
    EXPECT_EQ(WEXITSTATUS(status), 7);
    EXPECT_TRUE(same(mode(), before));
    status = child([] { std::exit(8); });
    EXPECT_EQ(WEXITSTATUS(status), 8);
    EXPECT_TRUE(same(mode(), before));
}

TEST_F(TerminalTest, TerminateAndAbortRestore) {
    EXPECT_TRUE(WIFSIGNALED(child([] { std::abort(); })));
    EXPECT_TRUE(same(mode(), before));
    EXPECT_TRUE(WIFSIGNALED(child([] { std::terminate(); })));
    EXPECT_TRUE(same(mode(), before));
    EXPECT_TRUE(WIFSIGNALED(child(leave_by_uncaught_exception)));
    EXPECT_TRUE(same(mode(), before));
}

/// The sanitizers would end the process before the processor sees the store.
__attribute__((no_sanitize("undefined"), no_sanitize("address"), noinline)) void store_wildly() {
    *wild_pointer = 1;
}

TEST_F(TerminalTest, WildPointerRestores) {
    const int status = child(store_wildly);
    EXPECT_TRUE(same(mode(), before));
    EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 98);
}

TEST_F(TerminalTest, HandlersOfTheProgramComeFirst) {
    static volatile std::sig_atomic_t seen = 0;
    struct sigaction mine {};
    mine.sa_handler = [](int) { seen = 1; };
    struct sigaction old {};
    sigaction(SIGTERM, &mine, &old);
    {
        const Terminal terminal{slave};
        raise(SIGTERM);
        EXPECT_EQ(seen, 1);
        EXPECT_TRUE(is_raw()); // the program decides what SIGTERM does, and has not left yet
    }
    EXPECT_TRUE(same(mode(), before));
    sigaction(SIGTERM, &old, nullptr);
}

} // namespace
} // namespace parapet::console
