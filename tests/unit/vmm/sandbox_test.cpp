// SPDX-License-Identifier: Apache-2.0
// What the confined process may and may not do; each in a process of its own.
#include "vmm/sandbox.hpp"

#include "support/file_status.hpp"
#include "support/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/// Every system call that takes a path (of those that open nothing), each with one that leads somewhere.
TEST(Sandbox, LooksAtNoPath) {
    SKIP_WHERE_INSTRUMENTED();
    const auto all_refused = [] {
        const char* path = "/etc/passwd";
        std::array<char, 4096> space{};
        const auto at = [&](auto... arguments) {
            errno = 0;
            return ::syscall(arguments...) == -1 && errno == EPERM;
        };
        const std::array results{
            at(SYS_stat, path, space.data()),
            at(SYS_lstat, path, space.data()),
            at(SYS_newfstatat, AT_FDCWD, path, space.data(), 0),
            at(SYS_newfstatat, AT_FDCWD, path, space.data(), AT_EMPTY_PATH),
            at(SYS_newfstatat, 0, "", space.data(), AT_EMPTY_PATH),
            at(SYS_statx, AT_FDCWD, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, space.data()),
            at(SYS_statx, AT_FDCWD, path, 0, STATX_SIZE, space.data()),
            at(SYS_access, path, F_OK),
            at(SYS_faccessat, AT_FDCWD, path, F_OK),
            at(SYS_faccessat2, AT_FDCWD, path, F_OK, 0),
            at(SYS_readlink, path, space.data(), space.size()),
            at(SYS_readlinkat, AT_FDCWD, path, space.data(), space.size()),
            at(SYS_statfs, path, space.data()),
            at(SYS_chdir, path),
            at(SYS_truncate, path, 0),
            at(SYS_getxattr, path, "user.x", space.data(), space.size()),
            at(SYS_inotify_add_watch, 0, path, 0),
            at(SYS_name_to_handle_at, AT_FDCWD, path, space.data(), space.data(), 0)};
        for (std::size_t i = 0; i < results.size(); i++) {
            if (!results[i]) {
                return static_cast<int>(i) + 1;
            }
        }
        return 0;
    };
    EXPECT_EXIT(confined(all_refused), testing::ExitedWithCode(0), "");
}

TEST(Sandbox, TellsTheLengthOfWhatIsOpen) {
    SKIP_WHERE_INSTRUMENTED();
    const UniqueFd file{::open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(file.valid());
    EXPECT_EXIT(confined([&] {
                    struct stat status {};
                    return status_of(file.get(), status) == 0 && status.st_size > 0 ? 0 : 1;
                }),
                testing::ExitedWithCode(0), "");
}

TEST(Sandbox, HasNoPrivileges) {
    SKIP_WHERE_INSTRUMENTED();
    const UniqueFd status{::open("/dev/null", O_RDONLY | O_CLOEXEC)}; // the child's own takes its place
    const auto verdict = [&] {
        std::array<char, 8192> bytes{};
        const ssize_t length = ::pread(status.get(), bytes.data(), bytes.size() - 1, 0);
        const std::string_view text{bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
        int line = 1;
        for (const char* const want :
             {"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
              "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"}) {
            if (text.find(want) == std::string_view::npos) {
                return line;
            }
            line++;
        }
        return 0;
    };
    EXPECT_EXIT(
        {
            const int own = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
            ::dup3(own, status.get(), O_CLOEXEC);
            confined(verdict);
        },
        testing::ExitedWithCode(0), "");
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
