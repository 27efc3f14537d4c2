// SPDX-License-Identifier: Apache-2.0
// The checks before a start, against made-up hosts.
#include "tools/parapet/host_checks.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

namespace fs = std::filesystem;

class HostChecks : public testing::Test {
protected:
    fs::path folder = testing::TempDir() + "host-checks-" + std::to_string(getpid());
    RunOptions options;
    HostPaths paths;

    void SetUp() override {
        fs::create_directory(folder);
        put("kernel", "image");
        put("kvm", "");
        put("meminfo", "MemTotal:        1048576 kB\nMemAvailable:     524288 kB\nSwapTotal:       1048576 kB\n");
        options.kernel = folder / "kernel";
        paths = {.kvm = folder / "kvm", .meminfo = folder / "meminfo"};
    }
    void TearDown() override { fs::remove_all(folder); }

    void put(const std::string& name, const std::string& text) const { std::ofstream{folder / name} << text; }
    std::string complaint() {
        const auto result = check_host(options, paths);
        return result ? std::string{} : result.error().message;
    }
    void expect(const std::string& part) {
        const std::string message = complaint();
        EXPECT_NE(message.find(part), std::string::npos) << "'" << message << "' lacks '" << part << "'";
    }
};

TEST_F(HostChecks, GoodHost) {
    EXPECT_EQ(complaint(), "");
}

TEST_F(HostChecks, Kernel) {
    options.kernel = folder / "nowhere";
    expect("does not exist");
    options.kernel = folder / "kernel/below";
    expect("does not exist");
    options.kernel = folder;
    expect("is not a file");
    put("empty", "");
    options.kernel = folder / "empty";
    expect("is empty");
    options.kernel = folder / "fifo"; // must not hang
    ASSERT_EQ(mkfifo(options.kernel.c_str(), 0600), 0);
    expect("is not a file");
    options.kernel = "/dev/zero";
    expect("is not a file");
}

TEST_F(HostChecks, UnreadableKernel) {
    if (geteuid() == 0) {
        GTEST_SKIP() << "root may read everything";
    }
    fs::permissions(folder / "kernel", fs::perms::none);
    expect("may not be read");
}

TEST_F(HostChecks, Initrd) {
    put("a", "archive");
    options.initrds = {folder / "a", folder / "b"};
    expect("initrd '" + (folder / "b").string() + "' does not exist");
}

TEST_F(HostChecks, Memory) {
    options.memory_bytes = 2ULL << 30; // RAM and swap
    EXPECT_EQ(complaint(), "");
    options.memory_bytes += 4096;
    expect("more than this host has (2G with swap)");
    fs::remove(folder / "meminfo"); // unknown: let it try
    EXPECT_EQ(complaint(), "");
}

TEST_F(HostChecks, Kvm) {
    fs::remove(folder / "kvm");
    expect("has no " + paths.kvm);
    paths.kvm = folder;
    expect("cannot be opened");
}

TEST(Meminfo, LacksLines) {
    EXPECT_FALSE(parse_meminfo("").has_value());
    EXPECT_FALSE(parse_meminfo("MemTotal: 5 kB\n").has_value());
    EXPECT_FALSE(parse_meminfo("MemTotal: many kB\nMemAvailable: 1 kB\n").has_value());
    EXPECT_EQ(parse_meminfo("MemAvailable: 1 kB\nMemTotal: 5 kB")->total, 5U << 10);
}

} // namespace
} // namespace parapet::cli
