// SPDX-License-Identifier: Apache-2.0
// A disk as the block backend would use it, on a real I/O thread, and servers that can be killed and started again.
#pragma once

#include "backends/io/io_thread.hpp"
#include "backends/nbd/nbd_source.hpp"

#include <chrono>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <string>
#include <vector>

namespace nbd_test {

using namespace std::chrono_literals;
using namespace parapet;
using disk::Operation;
using Bytes = std::vector<std::byte>;

Bytes pattern(std::size_t length, std::uint64_t seed);

/// One request, with segments of odd sizes.
struct Request final : disk::TargetRequest {
    Request(Operation what, std::uint64_t where, Bytes bytes, std::uint64_t count = 0, bool durable = false);
    void complete(int outcome) override { promise.set_value(outcome); }
    Bytes data;
    std::vector<iovec> pieces;
    std::promise<int> promise;
    std::future<int> result = promise.get_future();
};

class Disk {
public:
    explicit Disk(std::unique_ptr<disk::TargetSource> opened);
    ~Disk();
    void submit(Request& request);
    int run(Request& request, std::chrono::seconds limit = 40s);
    int write(std::uint64_t where, Bytes data, bool durable = false);
    Bytes read(std::uint64_t where, std::size_t length); ///< empty: an error
    int flush();
    disk::DiskTarget& target() { return *target_; }
    void abandon();
    void close(); ///< ends the helper
    /// The same without keeping the thread; once.
    void close(boost::asio::io_context& control, std::function<void()> done);

private:
    std::unique_ptr<io::IoThread> io_;
    std::unique_ptr<disk::TargetSource> source_;
    std::unique_ptr<disk::DiskTarget> target_;
};

/// A program that can be killed; killed at the end.
class Program {
public:
    Program() = default;
    explicit Program(std::vector<std::string> words);
    Program(Program&& other) noexcept : pid_{std::exchange(other.pid_, -1)} {}
    Program& operator=(Program&& other) noexcept {
        std::swap(pid_, other.pid_);
        return *this;
    }
    ~Program() { stop(SIGKILL); }
    void stop(int signal);
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
};

int free_port();
int run_program(std::vector<std::string> words);
/// Processes whose command line has `part`.
std::vector<pid_t> processes_with(const std::string& part);
/// Waits for `what`; false: in vain.
bool soon(const std::function<bool()>& what, std::chrono::milliseconds limit = 20s);

/// A private folder, and the log lines of the disk.
class NbdTest : public testing::Test {
protected:
    NbdTest();
    ~NbdTest() override;
    [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
    [[nodiscard]] std::string uri() const { return "nbd+unix:///?socket=" + path("socket"); }
    /// nbdkit on our socket; returns when it listens.
    Program nbdkit(std::vector<std::string> words) const;
    Program nbdkit_on(const std::vector<std::string>& where, std::vector<std::string> words) const;
    Result<std::unique_ptr<disk::TargetSource>> open(const nbd::NbdOptions& options);
    /// Fails the test if it does not open.
    std::unique_ptr<Disk> disk(nbd::NbdOptions options);
    nbd::NbdOptions remote(std::chrono::milliseconds patience = 30s) const { return {uri(), "", "", false, patience}; }
    [[nodiscard]] bool logged(const std::string& part);

private:
    std::filesystem::path folder_;
    std::mutex log_mutex_;
    std::vector<std::string> log_;
};

} // namespace nbd_test
