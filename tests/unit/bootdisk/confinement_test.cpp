// SPDX-License-Identifier: Apache-2.0
// What the processes that read an image can no longer do. Each attempt is made by a child that has locked itself up.
#include "support/confinement.hpp"
#include "support/unique_fd.hpp"
#include "vmm/bootdisk/confinement.hpp"
#include "vmm/bootdisk/landlock.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

class Confinement : public testing::Test {
protected:
    Confinement() {
        char name[] = "/tmp/bootdisk-test.XXXXXX";
        folder_ = mkdtemp(name);
        image_ = folder_ + "/image";
        std::ofstream{image_} << "contents";
        std::ofstream{folder_ + "/other"} << "secret";
    }
    ~Confinement() override {
        unlink(image_.c_str());
        unlink((folder_ + "/other").c_str());
        rmdir(folder_.c_str());
    }

    enum Role { finder, runner, program };

    /// The exit status of a confined child that carries `attempt` out: 0 where it returned true; 128 + a signal.
    int confined(const std::function<bool()>& attempt, Role role = program, Limits limits = {}) const {
        const pid_t child = fork();
        if (child == 0) {
            bool locked_up = static_cast<bool>(confine(image_, limits));
            if (role == finder) {
                locked_up = locked_up && confine_finder();
            } else {
                locked_up = locked_up && confine_runner() && (role == runner || confine_program());
            }
            _exit(!locked_up ? 99 : attempt() ? 0 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    bool can(const std::function<bool()>& attempt, Role role = program) const {
        const int status = confined(attempt, role);
        EXPECT_TRUE(status == 0 || status == 1) << "status " << status;
        return status == 0;
    }
    bool can_open(const std::string& path, int flags, Role role = program) const {
        return can([&] { return open(path.c_str(), flags, 0600) >= 0; }, role);
    }

    std::string folder_, image_;
};

TEST_F(Confinement, ReadsTheImage) {
    EXPECT_TRUE(can_open(image_, O_RDONLY));
    EXPECT_TRUE(can_open("/usr/lib/os-release", O_RDONLY));
}

TEST_F(Confinement, CannotWriteToIt) {
    for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND, O_RDWR | O_DIRECT}) {
        EXPECT_FALSE(can_open(image_, flags)) << flags;
    }
    EXPECT_FALSE(can([&] { return truncate(image_.c_str(), 0) == 0; }));
    EXPECT_FALSE(can([&] { return unlink(image_.c_str()) == 0; }));
    EXPECT_FALSE(can([&] { return rename(image_.c_str(), (folder_ + "/moved").c_str()) == 0; }));
    EXPECT_FALSE(can([&] { return chmod(image_.c_str(), 0777) == 0; }));
    EXPECT_FALSE(can([&] {
        const int fd = open(image_.c_str(), O_RDONLY);
        return mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
    }));
    // Through the descriptor that it has, opened anew.
    EXPECT_FALSE(can([&] {
        const int fd = open(image_.c_str(), O_RDONLY);
        return open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR) >= 0;
    }));
    std::string text;
    std::ifstream{image_} >> text;
    EXPECT_EQ(text, "contents");
}

TEST_F(Confinement, CannotMakeFiles) {
    EXPECT_FALSE(can_open(folder_ + "/new", O_RDWR | O_CREAT));
    EXPECT_FALSE(can_open(folder_, O_RDWR | O_TMPFILE));
    EXPECT_FALSE(can([&] { return mkdir((folder_ + "/new").c_str(), 0700) == 0; }));
    EXPECT_FALSE(can([&] { return symlink("x", (folder_ + "/new").c_str()) == 0; }));
    EXPECT_FALSE(can([&] { return link(image_.c_str(), (folder_ + "/new").c_str()) == 0; }));
}

TEST_F(Confinement, CannotReadOtherFiles) {
    if (!has_landlock()) {
        GTEST_SKIP() << "no Landlock here";
    }
    EXPECT_FALSE(can_open(folder_ + "/other", O_RDONLY));
    EXPECT_FALSE(can_open("/etc/passwd", O_RDONLY));
    EXPECT_FALSE(can_open("/proc/self/environ", O_RDONLY));
}

TEST_F(Confinement, CannotTalkOrExecuteOrHarm) {
    EXPECT_FALSE(can([] { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }));
    EXPECT_FALSE(can([] { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }));
    EXPECT_FALSE(can([] {
        execl("/bin/true", "true", nullptr);
        return errno == 0;
    }));
    EXPECT_FALSE(can([] { return kill(getppid(), SIGTERM) == 0; }));
    EXPECT_FALSE(can([] {
        const rlimit limit{1, 1};
        return prlimit(getppid(), RLIMIT_CORE, &limit, nullptr) == 0;
    })) << "a limit of processor time would end it";
    EXPECT_FALSE(can([] { return fcntl(0, F_SETOWN, getppid()) == 0; })) << "SIGIO would end it";
    EXPECT_FALSE(can([] { return fcntl(0, F_SETSIG, SIGKILL) == 0; }));
    EXPECT_TRUE(can([] { return fcntl(0, F_GETFL) >= 0 && fcntl(0, F_DUPFD_CLOEXEC, 10) >= 10; }));
    EXPECT_FALSE(can([] { return syscall(SYS_ptrace, 16, getppid(), 0, 0) == 0; }));
    EXPECT_FALSE(can([] { return syscall(SYS_unshare, 0x10000000) == 0; }));
}

TEST_F(Confinement, OnlyTheRunnerStartsProcesses) {
    const auto forks = [] {
        const auto child = static_cast<pid_t>(syscall(SYS_fork));
        if (child == 0) {
            _exit(0);
        }
        return child > 0;
    };
    EXPECT_TRUE(can(forks, runner));
    EXPECT_FALSE(can(forks, program));
    EXPECT_FALSE(can(forks, finder));
    // No descriptor can be where execveat is allowed from.
    EXPECT_FALSE(can([] { return fcntl(0, F_DUPFD, program_fd) >= 0; }));
    EXPECT_FALSE(can([] { return dup2(0, program_fd) >= 0; }));
}

/// With AT_EMPTY_PATH a path that is not empty counts all the same, and an absolute one whatever the descriptor.
TEST_F(Confinement, NobodyExecutesAnotherProgram) {
    const auto executes = [] {
        static const char* const arguments[] = {"true", nullptr};
        syscall(SYS_execveat, program_fd, "/bin/true", arguments, arguments, AT_EMPTY_PATH);
        return errno != EPERM;
    };
    for (const Role role : {finder, runner, program}) {
        EXPECT_FALSE(can(executes, role)) << role;
    }
}

/// Not by number, and not by a descriptor of it.
TEST_F(Confinement, SignalsNobodyElse) {
    const pid_t victim = fork();
    if (victim == 0) {
        pause();
        _exit(0);
    }
    for (const Role role : {finder, program}) {
        EXPECT_FALSE(can([&] { return kill(victim, SIGKILL) == 0; }, role));
        EXPECT_FALSE(can(
            [&] {
                const auto process = syscall(SYS_pidfd_open, victim, 0);
                return process >= 0 && syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0;
            },
            role));
    }
    EXPECT_FALSE(can([&] { return kill(victim, SIGKILL) == 0; }, runner)) << "by descriptor only";
    EXPECT_EQ(waitpid(victim, nullptr, WNOHANG), 0) << "it lives";
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
}

TEST_F(Confinement, TheFinderOpensAndLooksAtNothing) {
    EXPECT_FALSE(can_open(image_, O_RDONLY, finder));
    EXPECT_FALSE(can_open("/usr/lib/os-release", O_RDONLY, finder));
    struct stat info {};
    EXPECT_FALSE(can([&] { return stat(image_.c_str(), &info) == 0; }, finder));
    EXPECT_FALSE(can([&] { return fstatat(0, image_.c_str(), &info, AT_EMPTY_PATH) == 0; }, finder));
    EXPECT_FALSE(can([&] { return access(image_.c_str(), R_OK) == 0; }, finder));
}

TEST_F(Confinement, NoPrivilegesStay) {
    for (const Role role : {finder, runner, program}) {
        EXPECT_TRUE(can([] { return capabilities() == 0; }, role)) << role;
    }
}

TEST_F(Confinement, OutputIsBounded) {
    const UniqueFd file{memfd_create("output", 0)};
    const int status = confined(
        [&] {
            static char bytes[8192];
            return write(file.get(), bytes, sizeof bytes) == sizeof bytes && write(file.get(), bytes, 1) == 1;
        },
        program, {1ULL << 30, 8192, 30});
    EXPECT_EQ(status, 128 + SIGXFSZ);
    struct stat info {};
    ASSERT_EQ(fstat(file.get(), &info), 0);
    EXPECT_EQ(info.st_size, 8192);
}

TEST_F(Confinement, TimeIsBounded) {
    const int status = confined(
        [] {
            while (getppid() != 0) {
            }
            return true;
        },
        program, {1ULL << 30, 8192, 1});
    EXPECT_TRUE(status == 128 + SIGKILL || status == 128 + SIGXCPU) << status;
}

} // namespace
} // namespace parapet::bootdisk
