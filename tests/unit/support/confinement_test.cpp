// SPDX-License-Identifier: Apache-2.0
// What processes give up; each in a child, as root (where the tests run as root) and as an ordinary user.
#include "support/confinement.hpp"
#include "support/file_status.hpp"
#include "support/landlock.hpp"
#include "support/unique_fd.hpp"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <functional>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace parapet {
namespace {

constexpr int not_here = 77;

/// The exit status of a child that does `what`; 128 + a signal.
int in_child(const std::function<int()>& what) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(what());
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool become_nobody() {
    return ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 && ::setgid(unmapped_user) == 0 &&
                                ::setuid(unmapped_user) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0);
}

/// Number of the first test that fails.
int see_empty_root() {
    const UniqueFd open_before{::open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
    if (!enter_empty_root()) {
        return not_here;
    }
    struct stat status {};
    if (::stat("/etc/passwd", &status) == 0 || errno != ENOENT) {
        return 1;
    }
    DIR* const root = ::opendir("/");
    int names = 0;
    while (root != nullptr && ::readdir(root) != nullptr) {
        names++;
    }
    if (names != 2) { // "." and ".."
        return 2;
    }
    if (::open("/new", O_WRONLY | O_CREAT, 0600) >= 0) {
        return 3;
    }
    if (::chdir("..") != 0 || ::stat("etc", &status) == 0) {
        return 4;
    }
    char byte = 0;
    if (status_of(open_before.get(), status) != 0 || ::read(open_before.get(), &byte, 1) != 1) {
        return 5;
    }
    return give_up_privileges() == 0 && capabilities() == 0 ? 0 : 6;
}

void expect_empty_root(int seen) {
    if (seen == not_here) {
        GTEST_SKIP() << "no mount namespaces for this user here";
    }
    EXPECT_EQ(seen, 0);
}

TEST(Confinement, EmptyRoot) {
    expect_empty_root(in_child(see_empty_root));
}

TEST(Confinement, EmptyRootOfAnOrdinaryUser) {
    expect_empty_root(in_child([] { return become_nobody() ? see_empty_root() : not_here; }));
}

TEST(Confinement, AnotherThreadMeansNoEmptyRoot) {
    EXPECT_EQ(in_child([] {
                  std::thread other{[] { ::pause(); }};
                  other.detach();
                  struct stat status {};
                  return !enter_empty_root() && ::stat("/etc/passwd", &status) == 0 ? 0 : 1;
              }),
              0);
}

TEST(Confinement, PrivilegesGo) {
    const auto seen = in_child([] {
        if (give_up_privileges() != 0) {
            return 1;
        }
        rlimit core{1, 1};
        if (capabilities() != 0 || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || ::prctl(PR_GET_DUMPABLE) != 0) {
            return 2;
        }
        if (::getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0) {
            return 3;
        }
        for (int capability = 0; ::geteuid() == 0 && ::prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
            if (::prctl(PR_CAPBSET_READ, capability) != 0) {
                return 4;
            }
        }
        return 0;
    });
    EXPECT_EQ(seen, 0);
}

TEST(Confinement, OneRightMayBeKept) {
    constexpr Capabilities one = 1ULL << 2; // CAP_DAC_READ_SEARCH
    if ((capabilities() & one) == 0) {
        GTEST_SKIP() << "not root here";
    }
    EXPECT_EQ(in_child([] { return give_up_privileges(one) == 0 && capabilities() == one ? 0 : 1; }), 0);
}

TEST(Landlock, WhatIsNotAllowedIsRefused) {
    if (landlock::version() == 0) {
        GTEST_SKIP() << "no Landlock here";
    }
    const auto seen = in_child([] {
        const landlock::Allowed allowed[] = {{"/etc", landlock::reading}, {"/no/such/folder", landlock::reading}};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock::restrict_all(allowed, true) != 0) {
            return 1;
        }
        if (::open("/etc/passwd", O_RDONLY) < 0 || ::open("/etc/passwd", O_RDWR) >= 0) {
            return 2;
        }
        return ::open("/proc/self/status", O_RDONLY) < 0 && errno == EACCES ? 0 : 3;
    });
    EXPECT_EQ(seen, 0);
}

} // namespace
} // namespace parapet
