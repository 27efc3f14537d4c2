// SPDX-License-Identifier: Apache-2.0
#include "vmm/run_handlers.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>
#include <new>
#include <stdexcept>
#include <string>

namespace parapet::vmm {
namespace {

using namespace std::chrono_literals;

struct Loop {
    void post(std::function<void()> what) { boost::asio::post(io, std::move(what)); }
    void throw_one(const char* what) {
        post([what] { throw std::runtime_error{what}; });
    }
    boost::asio::io_context io{1};
    std::string said;
};

TEST(RunHandlers, ServesTheOthersAfterOneHasThrown) {
    Loop loop;
    loop.throw_one("a");
    loop.post([&] { loop.said += "b"; });
    loop.post([] { throw std::bad_alloc{}; });
    loop.post([&] { loop.said += "d"; });
    run_handlers(loop.io, [&](const std::exception& error) { loop.said += *error.what(); });
    EXPECT_EQ(loop.said, "absd");
}

TEST(RunHandlers, StopsWhenWhoHearsOfAFailureStopsIt) {
    Loop loop;
    const auto guard = boost::asio::make_work_guard(loop.io);
    loop.throw_one("a");
    loop.post([&] { loop.said += "not served"; });
    run_handlers(loop.io, [&](const std::exception&) { loop.io.stop(); });
    EXPECT_EQ(loop.said, "");
}

TEST(RunHandlers, KeepsToItsTime) {
    Loop loop;
    const auto guard = boost::asio::make_work_guard(loop.io);
    std::function<void()> again = [&] {
        loop.post(again);
        throw std::runtime_error{"again"};
    };
    loop.post(again);
    const auto begin = std::chrono::steady_clock::now();
    unsigned failures = 0;
    run_handlers(loop.io, begin + 50ms, [&](const std::exception&) { failures++; });
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 50ms);
    EXPECT_GT(failures, 1U);
}

} // namespace
} // namespace parapet::vmm
