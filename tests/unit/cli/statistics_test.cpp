// SPDX-License-Identifier: Apache-2.0
// Statistics to descriptors and as a table.
#include "tools/parapet/statistics.hpp"

#include <array>
#include <boost/json/value.hpp>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

TEST(JsonSink, DescriptorGetsOneLine) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    auto sink = JsonSink::open({.file = {}, .descriptor = ends[1]});
    ASSERT_TRUE(sink.ok());
    EXPECT_TRUE(sink->write({{"a", 1}, {"b", "two\n"}}).ok());
    std::array<char, 64> buffer{};
    const ssize_t count = read(ends[0], buffer.data(), buffer.size());
    EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(count)), "{\"a\":1,\"b\":\"two\\n\"}\n");
    close(ends[0]);
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_FALSE(sink->write({{"a", 1}}).ok());
    close(ends[1]);
}

TEST(JsonSink, UnusableTargets) {
    EXPECT_FALSE(JsonSink::open({.file = {}, .descriptor = 987}).ok());
    const int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_FALSE(JsonSink::open({.file = {}, .descriptor = read_only}).ok());
    close(read_only);
    EXPECT_FALSE(JsonSink::open({.file = "/", .descriptor = -1}).ok());
    const std::string fifo = testing::TempDir() + "json-fifo-" + std::to_string(getpid());
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_FALSE(JsonSink::open({.file = fifo, .descriptor = -1}).ok()); // must not hang
    unlink(fifo.c_str());
}

TEST(StatisticsTable, FlattensAndAligns) {
    EXPECT_EQ(
        statistics_table({{"outcome", "left"}, {"exits", {{"io", 12}, {"hlt", 3}}}, {"seconds", 1.5}, {"ok", true}}),
        "  outcome    left\n"
        "  exits.io   12\n"
        "  exits.hlt  3\n"
        "  seconds    1.5\n"
        "  ok         true\n");
    EXPECT_EQ(statistics_table({}), "");
}

} // namespace
} // namespace parapet::cli
