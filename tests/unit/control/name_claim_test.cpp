// SPDX-License-Identifier: Apache-2.0
// One running domain for each name: collisions, what dead processes leave, what is left at the end.
#include "vmm/control/name_claim.hpp"

#include "tests/unit/control/folder.hpp"
#include "vmm/control/client.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace parapet::vmm::control {
namespace {

using namespace std::chrono_literals;

/// Sweepers work when we have let go.
bool soon(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); i++) {
        std::this_thread::sleep_for(10ms);
    }
    return condition();
}

Result<NameClaim> take(const TestFolder& folder, const std::string& name, bool exact = true) {
    return NameClaim::take({name, exact, false}, {folder.path()});
}

TEST(NameClaim, OneOfEachName) {
    const TestFolder folder;
    const auto first = take(folder, "web");
    ASSERT_TRUE(first) << first.error().message;
    const auto second = take(folder, "web");
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("'web' runs already"), std::string::npos) << second.error().message;
    EXPECT_TRUE(take(folder, "db"));
}

TEST(NameClaim, OtherNamesWhereItMay) {
    const TestFolder folder;
    const auto first = take(folder, "web", false);
    const auto second = take(folder, "web", false);
    const auto third = take(folder, "web", false);
    ASSERT_TRUE(first && second && third);
    EXPECT_EQ(first->name(), "web");
    EXPECT_EQ(second->name(), "web-2");
    EXPECT_EQ(third->name(), "web-3");
    const std::string longest(64, 'n');
    ASSERT_TRUE(take(folder, longest));
    const auto held = take(folder, longest, false);
    const auto beside = take(folder, longest, false);
    ASSERT_TRUE(held && beside);
    EXPECT_EQ(beside->name().size(), 64U);
    EXPECT_TRUE(beside->name().ends_with("-2"));
}

TEST(NameClaim, SocketIsTheUsersOnly) {
    const TestFolder folder;
    const auto claim = take(folder, "web");
    ASSERT_TRUE(claim);
    struct stat info {};
    ASSERT_EQ(::stat(claim->socket_path().c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
    EXPECT_TRUE(connect_to(claim->socket_path()));
}

TEST(NameClaim, NothingIsLeft) {
    const TestFolder folder;
    {
        const auto claim = take(folder, "web");
        ASSERT_TRUE(claim);
        EXPECT_EQ(domain_names({folder.path()}), std::vector<std::string>{"web"});
    }
    EXPECT_TRUE(soon([&] { return std::filesystem::is_empty(folder.path()); }));
    EXPECT_TRUE(take(folder, "web")); // at once, although the sweeper may still be at it
}

TEST(NameClaim, AKilledProcessLeavesNothingEither) {
    const TestFolder folder;
    const pid_t child = ::fork();
    if (child == 0) {
        const auto claim = take(folder, "web");
        (void)::kill(::getpid(), SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    const auto claim = take(folder, "web");
    ASSERT_TRUE(claim) << claim.error().message;
    EXPECT_TRUE(connect_to(claim->socket_path()));
}

TEST(NameClaim, StaleFilesAreReplaced) {
    const TestFolder folder;
    { // as if the sweeper had been killed too
        const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const auto address = socket_address(folder.path() + "/web.sock");
        ASSERT_TRUE(address);
        ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
        std::ofstream{folder.path() + "/web.lock"} << "";
    }
    EXPECT_FALSE(Client::open("web", {folder.path()}));
    const auto claim = take(folder, "web");
    ASSERT_TRUE(claim) << claim.error().message;
    EXPECT_TRUE(Client::open("web", {folder.path()}));
}

TEST(NameClaim, LogIsBoundedAndKeptUnlessForgotten) {
    const TestFolder folder;
    for (const bool forgotten : {false, true}) {
        {
            auto claim = NameClaim::take({"web", true, true}, {folder.path()});
            ASSERT_TRUE(claim) << claim.error().message;
            const std::string text(Sweeper::most_log_bytes / 4, 'x');
            for (int i = 0; i < 6; i++) {
                ASSERT_EQ(::write(claim->sweeper().log_input(), text.data(), text.size()),
                          static_cast<ssize_t>(text.size()));
            }
            if (forgotten) {
                claim->sweeper().forget_log();
            }
        }
        ASSERT_TRUE(soon([&] { return !folder.has("web.lock"); }));
        EXPECT_EQ(folder.has("web.log"), !forgotten);
    }
}

TEST(NameClaim, LogSize) {
    const TestFolder folder;
    {
        auto claim = NameClaim::take({"web", true, true}, {folder.path()});
        ASSERT_TRUE(claim);
        const std::string text(Sweeper::most_log_bytes / 2, 'x');
        for (int i = 0; i < 3; i++) {
            (void)!::write(claim->sweeper().log_input(), text.data(), text.size());
        }
    }
    ASSERT_TRUE(soon([&] { return !folder.has("web.lock"); }));
    const auto size = std::filesystem::file_size(folder.path() + "/web.log");
    EXPECT_GE(size, Sweeper::most_log_bytes);
    EXPECT_LT(size, Sweeper::most_log_bytes + 100);
}

TEST(RuntimeFolder, MustBeOursAlone) {
    const TestFolder folder;
    const std::string mine = folder.path() + "/mine";
    EXPECT_FALSE(open_runtime_folder(mine));
    ASSERT_TRUE(make_runtime_folder(mine));
    EXPECT_TRUE(open_runtime_folder(mine));
    ASSERT_EQ(::chmod(mine.c_str(), 0770), 0);
    EXPECT_FALSE(make_runtime_folder(mine));
    ASSERT_EQ(::chmod(mine.c_str(), 0700), 0);
    std::filesystem::create_symlink(mine, folder.path() + "/link");
    EXPECT_FALSE(make_runtime_folder(folder.path() + "/link"));
    std::ofstream{folder.path() + "/file"} << "x";
    EXPECT_FALSE(make_runtime_folder(folder.path() + "/file"));
    EXPECT_FALSE(make_runtime_folder(folder.path() + "/no/such"));
    if (::geteuid() == 0) {
        ASSERT_EQ(::chown(mine.c_str(), 65534, 65534), 0);
        EXPECT_FALSE(make_runtime_folder(mine));
    }
}

TEST(RuntimeFolder, AnotherFolderWhereTheFirstCannotBe) {
    const TestFolder folder;
    const auto claim = NameClaim::take({"web", true, false}, {folder.path() + "/no/such", folder.path()});
    ASSERT_TRUE(claim) << claim.error().message;
    EXPECT_TRUE(folder.has("web.sock"));
    // And who would use a folder before it finds the name taken.
    ASSERT_TRUE(make_runtime_folder(folder.path() + "/new"));
    EXPECT_FALSE(NameClaim::take({"web", true, false}, {folder.path() + "/new", folder.path()}));
}

TEST(RuntimeFolder, Choice) {
    ASSERT_EQ(::setenv("PARAPET_RUN", "/some/folder", 1), 0);
    EXPECT_EQ(runtime_folders(), std::vector<std::string>{"/some/folder"});
    ASSERT_EQ(::unsetenv("PARAPET_RUN"), 0);
    const TestFolder session;
    ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", session.path().c_str(), 1), 0);
    auto folders = runtime_folders();
    EXPECT_NE(std::find(folders.begin(), folders.end(), session.path() + "/parapet"), folders.end());
    EXPECT_EQ(folders.back(), "/tmp/parapet-" + std::to_string(::geteuid()));
    ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", "/proc", 1), 0); // root's; relevant to others
    folders = runtime_folders();
    EXPECT_EQ(std::find(folders.begin(), folders.end(), "/proc/parapet") != folders.end(), ::geteuid() == 0);
}

TEST(RuntimeFolder, PathTooLongForASocket) {
    const TestFolder folder;
    const std::string deep = folder.path() + "/" + std::string(60, 'd');
    std::filesystem::create_directory(deep);
    std::filesystem::permissions(deep, std::filesystem::perms::owner_all);
    const auto claim = NameClaim::take({std::string(60, 'n'), true, false}, {deep});
    ASSERT_FALSE(claim);
    EXPECT_NE(claim.error().message.find("too long"), std::string::npos) << claim.error().message;
}

} // namespace
} // namespace parapet::vmm::control
