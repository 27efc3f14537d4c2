// SPDX-License-Identifier: Apache-2.0
// `parapet run` with a made-up domain: exit statuses, reboots, deadline, statistics.
#include "tools/parapet/run_loop.hpp"

#include "tools/parapet/exit_status.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <thread>
#include <unistd.h>
#include <vector>

namespace parapet::cli {
namespace {

using Kind = DomainEnd::Kind;
using namespace std::chrono_literals;

class RunLoop : public testing::Test {
protected:
    std::filesystem::path folder = testing::TempDir() + "run-loop-" + std::to_string(getpid());
    RunOptions options;
    HostPaths paths;
    std::vector<bool> appended;
    int starts = 0;

    void SetUp() override {
        std::filesystem::create_directory(folder);
        for (const char* name : {"kernel", "kvm", "meminfo"}) {
            std::ofstream{folder / name} << "x";
        }
        options.kernel = folder / "kernel";
        options.name = "test";
        options.json = JsonTarget{.file = folder / "stats.json", .descriptor = -1};
        paths = {.kvm = folder / "kvm", .meminfo = folder / "meminfo"};
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    int run_with(std::vector<DomainEnd> ends) {
        return run(
            options,
            [&](const RunOptions& given, const Incarnation& incarnation) {
                EXPECT_EQ(incarnation.reboots, static_cast<unsigned>(starts));
                appended.push_back(given.console.append);
                return ends.at(static_cast<std::size_t>(starts++));
            },
            paths);
    }
    static DomainEnd end(Kind kind, int code = 0, const std::string& message = {}) {
        return {.kind = kind, .exit_code = code, .message = message, .statistics = {{"exits", {{"hlt", 5}}}}};
    }
    [[nodiscard]] boost::json::object statistics() const {
        std::ifstream file{folder / "stats.json"};
        return boost::json::parse(std::string{std::istreambuf_iterator<char>{file}, {}}).as_object();
    }
};

TEST_F(RunLoop, ExitStatuses) {
    const std::vector<std::pair<DomainEnd, int>> table{{end(Kind::powered_off), 0},
                                                       {end(Kind::powered_off, 42), 42},
                                                       {end(Kind::powered_off, -1), 0},
                                                       {end(Kind::powered_off, 999), 255},
                                                       {end(Kind::crashed), 3},
                                                       {end(Kind::timed_out), 124},
                                                       {end(Kind::left), 0},
                                                       {end(Kind::left, 143), 143},
                                                       {end(Kind::failed), 1}};
    for (const auto& [finish, status] : table) {
        starts = 0;
        EXPECT_EQ(run_with({finish}), status);
        EXPECT_EQ(statistics().at("exit_status").as_int64(), status);
        EXPECT_EQ(statistics().at("domain").at("exits").at("hlt").as_int64(), 5);
    }
}

TEST_F(RunLoop, RebootStartsAgainAndAppends) {
    EXPECT_EQ(run_with({end(Kind::rebooted), end(Kind::rebooted), end(Kind::powered_off, 7)}), 7);
    EXPECT_EQ(starts, 3);
    EXPECT_EQ(appended, (std::vector<bool>{false, true, true}));
    EXPECT_EQ(statistics().at("reboots").as_int64(), 2);
    EXPECT_EQ(statistics().at("outcome").as_string(), "powered-off");
}

TEST_F(RunLoop, NoReboot) {
    options.no_reboot = true;
    EXPECT_EQ(run_with({end(Kind::rebooted)}), exit_rebooted);
    EXPECT_EQ(starts, 1);
}

TEST_F(RunLoop, EndlessRebootsEndAtTheDeadline) {
    options.timeout = 20ms;
    const int status = run(
        options,
        [](const RunOptions&, const Incarnation& incarnation) {
            EXPECT_TRUE(incarnation.deadline.has_value());
            std::this_thread::sleep_for(1ms);
            return end(Kind::rebooted);
        },
        paths);
    EXPECT_EQ(status, exit_timeout);
    EXPECT_EQ(statistics().at("outcome").as_string(), "timeout");
}

TEST_F(RunLoop, HostCheckFailsBeforeTheStart) {
    options.kernel = folder / "nowhere";
    EXPECT_EQ(run_with({}), exit_failed);
    EXPECT_EQ(starts, 0);
    EXPECT_EQ(statistics().at("outcome").as_string(), "failed");
    EXPECT_NE(statistics().at("message").as_string().find("does not exist"), std::string::npos);
}

TEST_F(RunLoop, StatisticsThatCannotBeWritten) {
    options.json = JsonTarget{.file = "/nonexistent/stats", .descriptor = -1};
    EXPECT_EQ(run_with({end(Kind::powered_off)}), exit_failed);
    EXPECT_EQ(starts, 0);
    options.json = JsonTarget{.file = "/dev/full", .descriptor = -1};
    EXPECT_EQ(run_with({end(Kind::powered_off)}), exit_failed);
    EXPECT_EQ(starts, 1);
    starts = 0;
    EXPECT_EQ(run_with({end(Kind::crashed)}), exit_crashed); // the guest's fate says more
}

} // namespace
} // namespace parapet::cli
