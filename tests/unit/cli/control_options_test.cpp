// SPDX-License-Identifier: Apache-2.0
// The command lines of the verbs that command running domains, and what `parapet list` prints.
#include "tools/parapet/control_verbs.hpp"
#include "tools/parapet/help.hpp"
#include "tools/parapet/options.hpp"

#include <boost/json/array.hpp>
#include <gtest/gtest.h>

namespace parapet::cli {
namespace {

using Words = std::vector<std::string>;
using namespace std::chrono_literals;

Invocation accepted(const Words& words) {
    auto result = parse_command_line(words);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result.ok() ? *result : Invocation{};
}

/// The sentence, if it is one and mentions `part`.
testing::AssertionResult refused(const Words& words, const std::string& part) {
    const auto result = parse_command_line(words);
    if (result.ok()) {
        return testing::AssertionFailure() << "accepted";
    }
    const std::string& message = result.error().message;
    const bool good = message.find(part) != std::string::npos && message.find('\n') == std::string::npos;
    return (good ? testing::AssertionSuccess() : testing::AssertionFailure()) << message;
}

TEST(ControlOptions, EachVerb) {
    EXPECT_EQ(accepted({"list"}).verb, Verb::list);
    EXPECT_TRUE(accepted({"list", "--json"}).control.json);
    EXPECT_EQ(accepted({"console", "web"}).control.domain, "web");
    EXPECT_TRUE(accepted({"console", "--history", "web"}).control.history);
    const ControlOptions shutdown = accepted({"shutdown", "web", "--wait", "--timeout", "5s"}).control;
    EXPECT_TRUE(shutdown.wait);
    EXPECT_EQ(shutdown.timeout, std::chrono::nanoseconds{5s});
    EXPECT_EQ(accepted({"reboot", "web"}).verb, Verb::reboot);
    EXPECT_EQ(accepted({"destroy", "web"}).verb, Verb::destroy);
    EXPECT_EQ(accepted({"mem-set", "web", "100"}).control.bytes, 100ULL << 20);
    EXPECT_EQ(accepted({"mem-set", "web", "1000B"}).control.bytes, 0U); // the domain refuses it
    const ControlOptions attach = accepted({"attach", "web", "disk", "root.img,raw,xvdb,w"}).control;
    EXPECT_EQ(attach.device, "disk");
    EXPECT_EQ(attach.spec, "root.img,raw,xvdb,w");
    const ControlOptions detach = accepted({"detach", "web", "xvdb", "--force", "--timeout=1s"}).control;
    EXPECT_EQ(detach.device, "xvdb");
    EXPECT_TRUE(detach.force);
}

TEST(ControlOptions, Refused) {
    EXPECT_TRUE(refused({"console"}, "parapet console NAME"));
    EXPECT_TRUE(refused({"console", "a", "b"}, "too many"));
    EXPECT_TRUE(refused({"console", "../a"}, "'../a'"));
    EXPECT_TRUE(refused({"console", ""}, "no name"));
    EXPECT_TRUE(refused({"shutdown", "a", "--timeout", "5s"}, "--wait"));
    EXPECT_TRUE(refused({"shutdown", "a", "--wait", "--timeout", "soon"}, "'soon'"));
    EXPECT_TRUE(refused({"shutdown", "a", "--force"}, "--force"));
    EXPECT_TRUE(refused({"shutdown", "a", "--wait", "--wait"}, "twice"));
    EXPECT_TRUE(refused({"mem-set", "a"}, "parapet mem-set NAME SIZE"));
    EXPECT_TRUE(refused({"mem-set", "a", "lots"}, "'lots'"));
    EXPECT_TRUE(refused({"attach", "a", "floppy", "x"}, "'floppy'"));
    EXPECT_TRUE(refused({"attach", "a", "disk"}, "SPEC"));
    EXPECT_TRUE(refused({"list", "a"}, "too many"));
    EXPECT_TRUE(refused({"lsit"}, "did you mean 'parapet list'"));
}

TEST(ControlOptions, HelpOfEachVerb) {
    for (const char* verb : {"list", "console", "shutdown", "reboot", "destroy", "mem-set", "attach", "detach"}) {
        EXPECT_EQ(accepted({verb, "--help"}).help_topic, verb);
        EXPECT_EQ(accepted({"help", verb}).help_topic, verb);
        EXPECT_NE(help_text(verb).find("Exit status"), std::string_view::npos) << verb;
        EXPECT_NE(help_text("").find(std::string{"parapet "} + verb), std::string_view::npos) << verb;
    }
    EXPECT_NE(help_text("run").find("--detach"), std::string_view::npos);
}

TEST(ControlOptions, RunInTheBackground) {
    using Kind = console::ConsoleConfig::Kind;
    const RunOptions run = accepted({"run", "k", "--detach"}).run;
    EXPECT_TRUE(run.detach);
    EXPECT_FALSE(run.name_given);
    EXPECT_EQ(run.console.kind, Kind::none);
    EXPECT_EQ(accepted({"run", "k", "--detach", "--console", "log"}).run.console.kind, Kind::file);
    EXPECT_TRUE(refused({"run", "k", "--detach", "--console", "stdio"}, "--console stdio"));
    EXPECT_TRUE(accepted({"run", "k", "--name", "web"}).run.name_given);
}

TEST(ControlOptions, Table) {
    const boost::json::object running{
        {"name", "web"},
        {"pid", 77},
        {"domid", 1},
        {"state", "running"},
        {"memory", {{"now_bytes", 100 << 20}, {"maximum_bytes", 256 << 20}}},
        {"vcpus", 1},
        {"uptime_s", 3725.5},
        {"devices", boost::json::array{boost::json::object{{"name", "xvda"}}, boost::json::object{{"name", "vif0"}}}}};
    const boost::json::object busy{{"name", "a"}, {"pid", 5}, {"state", "busy"}};
    EXPECT_EQ(domain_table({running, busy}), "NAME  PID  ID  STATE    MEMORY  MAX   VCPUS  UPTIME   DEVICES\n"
                                             "web   77   1   running  100M    256M  1      1:02:05  xvda,vif0\n"
                                             "a     5    -   busy     -       -     -      -        -\n");
    EXPECT_EQ(domain_table({boost::json::object{{"memory", 5}, {"devices", "x"}, {"uptime_s", "y"}}}),
              "NAME  PID  ID  STATE  MEMORY  MAX  VCPUS  UPTIME  DEVICES\n"
              "?     -    -   ?      -       -    -      -       -\n");
}

} // namespace
} // namespace parapet::cli
