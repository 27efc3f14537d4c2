// SPDX-License-Identifier: Apache-2.0
// What the confined process may and may not do; each in a process of its own.
#include "vmm/sandbox.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace parapet::vmm {
namespace {

#if defined(__SANITIZE_ADDRESS__)
#define SKIP_WHERE_INSTRUMENTED() GTEST_SKIP() << "the sanitizers' runtime is not confined"
#else
#define SKIP_WHERE_INSTRUMENTED() static_cast<void>(0)
#endif

/// Status of a child that enters the sandbox and leaves with what `act` says.
template <typename Act>
void confined(Act act) {
    const auto entered = enter_sandbox();
    if (!entered) {
        std::fputs(entered.error().message.c_str(), stderr);
        ::_exit(99);
    }
    ::_exit(act());
}

int refused(bool failed) {
    return failed && errno == EPERM ? 0 : 1;
}

TEST(Sandbox, OpensNoFile) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] { return refused(::open("/etc/passwd", O_RDONLY) < 0); }), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([] { return refused(::open("/tmp/x", O_WRONLY | O_CREAT, 0600) < 0); }),
                testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([] { return refused(::unlink("/tmp/x") < 0); }), testing::ExitedWithCode(0), "");
}

TEST(Sandbox, ConnectsToNobody) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] { return refused(::socket(AF_INET, SOCK_STREAM, 0) < 0); }), testing::ExitedWithCode(0),
                "");
    EXPECT_EXIT(confined([] { return refused(::kill(::getppid(), 0) < 0); }), testing::ExitedWithCode(0), "");
}

TEST(Sandbox, SignalsNobodyByWayOfADescriptor) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] { return refused(::fcntl(0, F_SETOWN, ::getppid()) < 0); }), testing::ExitedWithCode(0),
                "");
    EXPECT_EXIT(confined([] { return refused(::fcntl(0, F_SETSIG, SIGKILL) < 0); }), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([] { return ::fcntl(0, F_GETFL) >= 0 && ::fcntl(0, F_DUPFD_CLOEXEC, 3) >= 3 ? 0 : 1; }),
                testing::ExitedWithCode(0), "");
}

TEST(Sandbox, SchedulesNobodyButTheThreadItself) {
    SKIP_WHERE_INSTRUMENTED();
    const auto set = [](pid_t whom, int policy) {
        const sched_param none{};
        return ::sched_setscheduler(whom, policy, &none) != 0;
    };
    EXPECT_EXIT(confined([&] { return !set(0, SCHED_BATCH) && !set(0, SCHED_OTHER) ? 0 : 1; }),
                testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([&] { return refused(set(0, SCHED_IDLE)); }), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([&] { return refused(set(::getppid(), SCHED_BATCH)); }), testing::ExitedWithCode(0), "");
}

TEST(Sandbox, MakesNoProcessAndNoCode) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] { return refused(::fork() < 0); }), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(confined([] {
                    return refused(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                                   MAP_FAILED);
                }),
                testing::ExitedWithCode(0), "");
}

TEST(Sandbox, StartingAProgramIsTheEnd) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] { return ::execl("/bin/true", "true", nullptr); }), testing::KilledBySignal(SIGSYS), "");
}

TEST(Sandbox, ThreadsMemoryAndOutputStay) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(confined([] {
                    int seen = 0;
                    std::thread{[&] { seen = 1; }}.join();
                    void* memory = std::malloc(8 << 20);
                    const bool good = seen == 1 && memory != nullptr && ::memfd_create("x", 0) >= 0;
                    std::free(memory);
                    std::fputs("still here", stderr);
                    return good ? 0 : 1;
                }),
                testing::ExitedWithCode(0), "still here");
}

TEST(Sandbox, HoldsForThreadsThatAreThereAlready) {
    SKIP_WHERE_INSTRUMENTED();
    EXPECT_EXIT(
        {
            std::atomic<bool> go{false};
            std::atomic<int> verdict{-1};
            std::thread other{[&] {
                while (!go) {
                    std::this_thread::yield();
                }
                verdict = refused(::open("/etc/passwd", O_RDONLY) < 0);
            }};
            const bool entered = enter_sandbox().ok();
            go = true;
            other.join();
            ::_exit(entered ? verdict.load() : 99);
        },
        testing::ExitedWithCode(0), "");
}

TEST(Sandbox, CanBeLeftOut) {
    EXPECT_EXIT(
        {
            ::setenv("PARAPET_SANDBOX", "off", 1);
            confined([] { return ::open("/etc/passwd", O_RDONLY) >= 0 ? 0 : 1; });
        },
        testing::ExitedWithCode(0), "");
}

} // namespace
} // namespace parapet::vmm
