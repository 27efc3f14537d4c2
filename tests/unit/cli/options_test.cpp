// SPDX-License-Identifier: Apache-2.0
// The command line: what it means, and what it refuses with which sentence.
#include "tools/parapet/options.hpp"

#include "tools/parapet/help.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

using Words = std::vector<std::string>;
using Kind = console::ConsoleConfig::Kind;
using namespace std::chrono_literals;

Invocation accepted(const Words& words) {
    auto result = parse_command_line(words);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result.ok() ? *result : Invocation{};
}

std::string refused(const Words& words) {
    const auto result = parse_command_line(words);
    EXPECT_FALSE(result.ok());
    std::string message = result.ok() ? std::string{} : result.error().message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
}

testing::AssertionResult mentions(const std::string& message, const std::string& part) {
    return message.find(part) != std::string::npos
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << "'" << message << "' lacks " << part;
}

TEST(Options, Defaults) {
    const Invocation invocation = accepted({"run", "/boot/vmlinuz-6.1.0-9 amd64"});
    EXPECT_EQ(invocation.verb, Verb::run);
    const RunOptions& run = invocation.run;
    EXPECT_EQ(run.kernel, "/boot/vmlinuz-6.1.0-9 amd64");
    EXPECT_EQ(run.name, "vmlinuz-6.1.0-9-amd64");
    EXPECT_EQ(run.memory_bytes, 512ULL << 20);
    EXPECT_EQ(run.console.kind, Kind::stdio);
    EXPECT_EQ(run.home, Home::automatic);
    EXPECT_FALSE(run.timeout || run.json || run.stats || run.no_reboot);
    EXPECT_TRUE(run.initrds.empty() && run.cmdline.empty());
}

TEST(Options, DiskInsteadOfAKernel) {
    const RunOptions run = accepted({"run", "--disk", "/images/cd.iso,raw,xvdc,cdrom",
                                     "--disk=/images/root.img,raw,xvda,w", "--boot-entry", "1>0", "--append", "single"})
                               .run;
    EXPECT_TRUE(run.kernel.empty());
    ASSERT_EQ(run.boot_disks.size(), 2U) << "all of them, CDs last";
    EXPECT_EQ(run.boot_disks[0].target, "/images/root.img");
    EXPECT_EQ(run.boot_disks[1].target, "/images/cd.iso");
    EXPECT_EQ(run.name, "root.img");
    EXPECT_EQ(run.boot_entry, "1>0");
    EXPECT_EQ(run.append, "single");
    EXPECT_FALSE(run.cmdline_given);
    EXPECT_TRUE(accepted({"run", "k", "--disk", "a.img"}).run.boot_disks.empty());
    EXPECT_EQ(accepted({"run", "--disk", "a.iso,raw,xvdc,cdrom"}).run.boot_disks.size(), 1U);
    EXPECT_TRUE(accepted({"run", "--disk", "a.img,qcow2,xvda,w"}).run.boot_disks.at(0).needs_nbd());
    EXPECT_NE(refused({"run"}).find("no kernel is given"), std::string::npos);
    EXPECT_NE(refused({"run", "k", "--boot-entry", "1"}).find("leave one out"), std::string::npos);
}

TEST(Options, BootFiles) {
    const Invocation shown = accepted({"boot-files", "a.img", "1>0"});
    EXPECT_EQ(shown.verb, Verb::boot_files);
    EXPECT_EQ(shown.run.boot_disks.at(0).target, "a.img");
    EXPECT_EQ(shown.run.boot_entry, "1>0");
    EXPECT_EQ(accepted({"boot-files", "a.vmdk,vmdk"}).run.boot_disks.at(0).format, disk::Format::vmdk);
    EXPECT_TRUE(accepted({"boot-files", "nbd://host/disk"}).run.boot_disks.at(0).is_remote());
    EXPECT_NE(refused({"boot-files", "a,bad"}).find("boot-files a,bad: "), std::string::npos);
    EXPECT_NE(refused({"boot-files"}).find("'parapet boot-files IMAGE [ENTRY]'"), std::string::npos);
    EXPECT_NE(refused({"boot-files", "a", "b", "c"}).find("'parapet boot-files IMAGE [ENTRY]'"), std::string::npos);
    EXPECT_EQ(accepted({"help", "boot-files"}).help_topic, "boot-files");
}

TEST(Options, EverythingInAnyOrder) {
    const RunOptions run =
        accepted(
            {"run",    "--initrd",      "a.gz",     "--stats",     "--home=ring3", "--cmdline", "console=hvc0 quiet",
             "kernel", "--initrd=b.gz", "--memory", "1G",          "--name",       "web_1",     "--timeout",
             "5m",     "--console",     "out.log",  "--no-reboot", "--json",       "fd:3"})
            .run;
    EXPECT_EQ(run.kernel, "kernel");
    EXPECT_EQ(run.initrds, (Words{"a.gz", "b.gz"}));
    EXPECT_EQ(run.cmdline, "console=hvc0 quiet");
    EXPECT_EQ(run.memory_bytes, 1ULL << 30);
    EXPECT_EQ(run.name, "web_1");
    EXPECT_EQ(run.timeout, std::chrono::nanoseconds{5min});
    EXPECT_EQ(run.console.kind, Kind::file);
    EXPECT_EQ(run.console.file, "out.log");
    EXPECT_TRUE(run.no_reboot);
    EXPECT_FALSE(run.linear_page_tables);
    EXPECT_TRUE(run.stats);
    ASSERT_TRUE(run.json);
    EXPECT_EQ(run.json->descriptor, 3);
    EXPECT_TRUE(run.json->file.empty());
    EXPECT_EQ(run.home, Home::ring3);
}

TEST(Options, LinearPageTablesAreAskedFor) {
    EXPECT_TRUE(accepted({"run", "k", "--linear-page-tables"}).run.linear_page_tables);
}

TEST(Options, JsonAloneIsStandardError) {
    EXPECT_EQ(accepted({"run", "k", "--json"}).run.json->descriptor, 2);
    EXPECT_EQ(accepted({"run", "--json", "--stats", "k"}).run.json->descriptor, 2);
    EXPECT_EQ(accepted({"run", "k", "--json", "s.json"}).run.json->file, "s.json");
    EXPECT_TRUE(mentions(refused({"run", "--json", "k"}), "no kernel")); // k is where to write to
}

TEST(Options, CommandLineOfTheGuestIsFree) {
    EXPECT_EQ(accepted({"run", "k", "--cmdline", ""}).run.cmdline, "");
    EXPECT_EQ(accepted({"run", "k", "--cmdline="}).run.cmdline, "");
    EXPECT_EQ(accepted({"run", "k", "--cmdline=--stats"}).run.cmdline, "--stats");
    EXPECT_EQ(accepted({"run", "k", "--cmdline", "-- single"}).run.cmdline, "-- single");
}

TEST(Options, DoubleDashEndsOptions) {
    EXPECT_EQ(accepted({"run", "--", "--odd"}).run.kernel, "--odd");
}

TEST(Options, RefusedWithTheNameOfTheThing) {
    EXPECT_TRUE(mentions(refused({}), "no command"));
    EXPECT_TRUE(mentions(refused({"rnu"}), "did you mean 'parapet run'"));
    EXPECT_TRUE(mentions(refused({"frobnicate"}), "'frobnicate'"));
    EXPECT_TRUE(mentions(refused({"run"}), "no kernel"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--frob"}), "--frob"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--mem", "5"}), "--mem")); // no guessing
    EXPECT_TRUE(mentions(refused({"run", "k", "-x"}), "-x"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory"}), "'--memory' needs a value"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory="}), "--memory"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--console", "--no-reboot"}), "'--console' needs a value"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--stats=1"}), "'--stats' takes no value"));
    EXPECT_TRUE(mentions(refused({"run", ""}), "--kernel"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--console", ""}), "--console"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--console", "-"}), "--console -"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory", "lots"}), "--memory: 'lots'"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory", "1M"}), "too little"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory", "8193K"}), "8M"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--timeout", "soon"}), "--timeout: 'soon'"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--home", "ring1"}), "ring1"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--name", "a b"}), "a b"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--name", std::string(65, 'n')}), "64"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "fd:"}), "fd:"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "fd:0"}), "fd:0"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "fd:-1"}), "fd:-1"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "fd:99999999999"}), "fd:99999999999"));
    EXPECT_TRUE(mentions(refused({"doctor", "x"}), "too many"));
    EXPECT_TRUE(mentions(refused({"doctor", "--frob"}), "--frob"));
    EXPECT_TRUE(mentions(refused({"version", "x"}), "'x'"));
    EXPECT_TRUE(mentions(refused({"help", "frob"}), "'frob'"));
}

TEST(Options, GivenTwice) {
    EXPECT_TRUE(mentions(refused({"run", "a", "b"}), "two kernels"));
    EXPECT_TRUE(mentions(refused({"run", "--kernel", "a", "b"}), "'a' and 'b'"));
    EXPECT_TRUE(
        mentions(refused({"run", "k", "--console", "none", "--console", "stdio"}), "'--console' is given twice"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--stats", "--stats"}), "'--stats' is given twice"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--memory", "1G", "--memory", "1G"}), "'--memory' is given twice"));
}

TEST(Options, OutputsThatCollide) {
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "out", "--console", "./out"}), "--json and --console"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "fd:1"}), "standard output"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--json", "./k"}), "overwrite"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--console", "k"}), "overwrite"));
    EXPECT_TRUE(mentions(refused({"run", "k", "--initrd", "i", "--console", "i"}), "overwrite"));
    accepted({"run", "k", "--json", "fd:1", "--console", "none"});
    accepted({"run", "k", "--json", "/dev/null"});
}

TEST(Options, LinkToTheKernelIsTheKernel) {
    const std::filesystem::path folder = testing::TempDir() + "options-" + std::to_string(getpid());
    std::filesystem::create_directory(folder);
    std::ofstream{folder / "kernel"} << "image";
    std::filesystem::create_hard_link(folder / "kernel", folder / "link");
    EXPECT_TRUE(mentions(refused({"run", folder / "kernel", "--json", folder / "link"}), "overwrite"));
    std::filesystem::remove_all(folder);
}

TEST(Options, HelpAndVersion) {
    EXPECT_EQ(accepted({"help"}).verb, Verb::help);
    EXPECT_EQ(accepted({"--help"}).help_topic, "");
    EXPECT_EQ(accepted({"help", "run"}).help_topic, "run");
    EXPECT_EQ(accepted({"run", "--help"}).help_topic, "run");
    EXPECT_EQ(accepted({"run", "k", "-h"}).help_topic, "run");
    EXPECT_EQ(accepted({"doctor", "--help"}).help_topic, "doctor");
    EXPECT_EQ(accepted({"--version"}).verb, Verb::version);
    EXPECT_EQ(accepted({"version", "--help"}).help_topic, "version");
    EXPECT_FALSE(accepted({"doctor"}).doctor.json);
    EXPECT_TRUE(accepted({"doctor", "--json"}).doctor.json);
    EXPECT_TRUE(accepted({"doctor", "--sandbox"}).doctor.sandbox);
    EXPECT_FALSE(accepted({"doctor", "--sandbox"}).doctor.json);
}

TEST(Help, NamesEveryOption) {
    for (const char* option : {"--kernel", "--initrd", "--cmdline", "--memory", "--name", "--timeout", "--console",
                               "--no-reboot", "--stats", "--json", "--home"}) {
        EXPECT_TRUE(mentions(std::string{help_text("run")}, option));
    }
    EXPECT_TRUE(help_text("no such").empty());
}

} // namespace
} // namespace parapet::cli
