// SPDX-License-Identifier: Apache-2.0
// A log into pipes that are read, read late, or never.
#include "support/log_output.hpp"

#include "support/unique_fd.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

namespace {
std::atomic<bool> no_threads{false};
}

/// As where the limit of processes is reached.
extern "C" int pthread_create(pthread_t* made, const pthread_attr_t* how, void* (*what)(void*), void* argument) {
    using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto create = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
    return no_threads ? EAGAIN : create(made, how, what, argument);
}

namespace parapet {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class LogOutputTest : public testing::Test {
protected:
    void SetUp() override {
        std::signal(SIGPIPE, SIG_IGN);
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        reader = UniqueFd{ends[0]};
        writer = UniqueFd{ends[1]};
        pipe_size = static_cast<std::size_t>(::fcntl(writer.get(), F_SETPIPE_SZ, 4096));
    }
    void TearDown() override {
        reader = UniqueFd{}; // a thread that still writes finds that nobody reads, and ends
        std::this_thread::sleep_for(20ms);
    }

    /// What comes until there is nothing for a while.
    [[nodiscard]] std::string read_all(std::chrono::milliseconds quiet = 300ms) const {
        std::string text;
        std::array<char, 1000> bytes;
        for (pollfd wait{reader.get(), POLLIN, 0}; ::poll(&wait, 1, static_cast<int>(quiet.count())) == 1;) {
            const ssize_t count = ::read(reader.get(), bytes.data(), bytes.size());
            if (count <= 0) {
                break;
            }
            text.append(bytes.data(), static_cast<std::size_t>(count));
        }
        return text;
    }
    static std::string line(unsigned number) { return "line " + std::to_string(number) + "\n"; }

    UniqueFd reader, writer;
    std::size_t pipe_size = 0;
};

/// Whoever logs writes then, and takes along what others log meanwhile.
TEST_F(LogOutputTest, IsWrittenByThoseWhoLogWhereNoThreadIsToBeHad) {
    LogOutput log{writer.get()};
    std::string all;
    std::thread late{[&] {
        std::this_thread::sleep_for(200ms); // both have filled the pipe by then
        all = read_all();
    }};
    std::vector<std::thread> loggers;
    std::atomic<bool> go{false};
    std::size_t expected = 0;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned number = 0; number < 2000; number++) {
            expected += line(number).size();
        }
        loggers.emplace_back([&] {
            while (!go) {
            }
            for (unsigned number = 0; number < 2000; number++) {
                log.put(line(number));
            }
        });
    }
    no_threads = true;
    go = true;
    for (std::thread& logger : loggers) {
        logger.join();
    }
    no_threads = false;
    late.join();
    EXPECT_EQ(all.size(), expected);
    EXPECT_EQ(all.find_first_not_of("line 0123456789\n"), std::string::npos);
}

TEST_F(LogOutputTest, ComesInOrder) {
    LogOutput log{writer.get()};
    std::string all;
    for (unsigned i = 0; i < 100; i++) {
        log.put(line(i));
        all += line(i);
    }
    EXPECT_TRUE(log.flush());
    EXPECT_EQ(read_all(), all);
}

TEST_F(LogOutputTest, WaitsForALateReaderAndLosesNothing) {
    LogOutput log{writer.get()};
    std::string all;
    const auto begin = Clock::now();
    for (unsigned i = 0; all.size() < (1 << 20); i++) {
        log.put(line(i));
        all += line(i);
    }
    EXPECT_LT(Clock::now() - begin, 2s) << "who logs was made to wait";
    std::thread late{[&] {
        std::this_thread::sleep_for(200ms);
        EXPECT_TRUE(read_all() == all);
    }};
    EXPECT_TRUE(log.flush());
    late.join();
}

TEST_F(LogOutputTest, SaysHowManyLinesWereLost) {
    LogOutput log{writer.get(), 10'000};
    unsigned number = 0;
    for (std::size_t size = 0; size < 100'000; size += line(number++).size()) {
        log.put(line(number));
    }
    std::string got = read_all();
    // From the first line on, then one line for all that is missing.
    unsigned there = 0;
    std::string expected;
    while (got.starts_with(expected + line(there))) {
        expected += line(there++);
    }
    EXPECT_GE(expected.size(), 10'000 - line(number).size());
    EXPECT_EQ(got.substr(expected.size()),
              "parapet: " + std::to_string(number - there) + " lines of this log were lost: nobody read it\n");
    log.put("goes on\n");
    EXPECT_EQ(read_all(), "goes on\n") << "and no more about the loss";
}

TEST_F(LogOutputTest, SaysItBeforeWhatFollows) {
    LogOutput log{writer.get(), 2 * pipe_size};
    const std::string half(pipe_size, 'x');
    log.put(half); // into the pipe
    std::this_thread::sleep_for(100ms);
    log.put(half + half); // all that the queue holds
    log.put("lost\nlost as ");
    log.put("well\n");
    std::thread slow{[&] {
        std::string got = read_all();
        EXPECT_EQ(got, half + half + half + "\nparapet: 2 lines of this log were lost: nobody read it\nafter it\n");
    }};
    EXPECT_TRUE(log.flush(1s));
    log.put("after it\n");
    slow.join();
}

TEST_F(LogOutputTest, AFlushIsBounded) {
    LogOutput log{writer.get()};
    log.put(std::string(3 * pipe_size, 'x'));
    const auto begin = Clock::now();
    EXPECT_FALSE(log.flush(200ms));
    EXPECT_GE(Clock::now() - begin, 200ms);
    EXPECT_LT(Clock::now() - begin, 2s);
    EXPECT_FALSE(log.flush(20s)) << "nobody has read since";
    EXPECT_LT(Clock::now() - begin, 4s);
    std::thread late{[&] { (void)read_all(); }};
    std::this_thread::sleep_for(50ms);
    EXPECT_TRUE(log.flush());
    late.join();
}

TEST_F(LogOutputTest, AReaderThatGoesAwayIsNoTrouble) {
    LogOutput log{writer.get()};
    log.put(std::string(3 * pipe_size, 'x'));
    reader = UniqueFd{};
    EXPECT_TRUE(log.flush());
    log.put("nobody hears this\n");
    EXPECT_TRUE(log.flush());
}

TEST_F(LogOutputTest, ADescriptorThatDoesNotBlockIsWaitedFor) {
    ASSERT_EQ(::fcntl(writer.get(), F_SETFL, O_NONBLOCK), 0);
    LogOutput log{writer.get()};
    const std::string text(20 * pipe_size, 'x');
    log.put(text);
    std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(read_all() == text);
}

TEST_F(LogOutputTest, LinesOfManyThreadsStayWhole) {
    LogOutput log{writer.get()};
    std::string got;
    std::thread listener{[&] { got = read_all(1s); }};
    std::vector<std::thread> threads;
    for (char mark = 'a'; mark < 'e'; mark++) {
        threads.emplace_back([&log, mark] {
            for (unsigned i = 0; i < 500; i++) {
                log.put(std::string(1 + i % 100, mark) + "\n");
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_TRUE(log.flush());
    listener.join();
    std::size_t lines = 0;
    for (std::size_t at = 0; at < got.size(); lines++) {
        const std::size_t end = got.find('\n', at);
        ASSERT_NE(end, std::string::npos);
        EXPECT_EQ(got.find_first_not_of(got[at], at), end);
        at = end + 1;
    }
    EXPECT_EQ(lines, 2000U);
}

TEST_F(LogOutputTest, StandardErrorIsCompleteWhenTheProcessExits) {
    EXPECT_EXIT(
        {
            for (unsigned i = 0; i < 1000; i++) {
                log_text(line(i));
            }
            std::exit(7);
        },
        testing::ExitedWithCode(7), "line 0\n(.*\n)*line 999\n$");
}

} // namespace
} // namespace parapet
