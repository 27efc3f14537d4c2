// SPDX-License-Identifier: Apache-2.0
// Servers that die and return, or do not; helpers that die.
#include "tests/unit/nbd/rig.hpp"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <sys/wait.h>
#include <thread>

namespace {

using namespace nbd_test;
using std::chrono::steady_clock;

class Outage : public NbdTest {
protected:
    /// A server that loses what was not flushed when it is killed.
    Program forgetful() {
        return nbdkit({"--filter=cache", "file", path("disk"), "cache=writeback", "cache-on-read=false"});
    }
    void make_file(std::uint64_t bytes) {
        std::ofstream{path("disk")};
        std::filesystem::resize_file(path("disk"), bytes);
    }
    [[nodiscard]] Bytes file() const {
        std::ifstream stream{path("disk"), std::ios::binary};
        Bytes bytes(std::filesystem::file_size(path("disk")));
        stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return bytes;
    }
    /// The helper's processes of our disk.
    [[nodiscard]] std::vector<pid_t> helpers() const {
        const auto all = processes_with("parapet-nbd");
        auto ours = processes_with(uri());
        std::erase_if(ours, [&](pid_t pid) { return std::find(all.begin(), all.end(), pid) == all.end(); });
        return ours;
    }
};

TEST_F(Outage, TheForgetfulServerForgets) { // or the next test would show nothing
    make_file(1 << 20);
    Program server = forgetful();
    {
        const auto opened = disk(remote());
        EXPECT_EQ(opened->write(0, pattern(4096, 1)), 0);
        server.stop(SIGKILL);
    }
    EXPECT_EQ(file(), Bytes(1 << 20));
}

TEST_F(Outage, WhatWasAcknowledgedSurvivesTheServer) {
    constexpr std::size_t blocks = 256;
    make_file(blocks * 4096);
    Program server = forgetful();
    const auto opened = disk(remote());
    Bytes model(blocks * 4096);
    std::mt19937 random{7};
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 60; i++) {
            const std::uint64_t offset = random() % blocks * 4096;
            const Bytes data = pattern(4096, random());
            std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
            ASSERT_EQ(opened->write(offset, data, random() % 16 == 0), 0);
            if (random() % 50 == 0) {
                ASSERT_EQ(opened->flush(), 0);
            }
        }
        Request zero{Operation::write_zeroes, 8 * 4096, {}, 4 * 4096};
        ASSERT_EQ(opened->run(zero), 0);
        std::fill_n(model.begin() + 8 * 4096, 4 * 4096, std::byte{});
        server.stop(SIGKILL);
        server = forgetful();
        ASSERT_EQ(opened->read(0, model.size()), model) << "round " << round;
    }
    EXPECT_TRUE(logged("is gone"));
    EXPECT_TRUE(logged("is back"));
    ASSERT_EQ(opened->flush(), 0);
    server.stop(SIGKILL);
    EXPECT_EQ(file(), model);
}

TEST_F(Outage, KilledAgainAndAgainUnderLoad) {
    constexpr std::size_t lanes = 32, lane = 256 << 10;
    make_file(lanes * lane);
    Program server = forgetful();
    const auto opened = disk(remote());
    Bytes model(lanes * lane);
    std::atomic<bool> stop = false;
    std::atomic<unsigned> rounds = 0;
    std::thread load{[&] {
        std::mt19937 random{4};
        for (; !stop; rounds++) {
            std::vector<std::unique_ptr<Request>> requests;
            for (std::size_t at = 0; at < lanes; at++) {
                const std::uint64_t offset = at * lane + random() % 32 * 4096;
                Bytes data = pattern((1 + random() % 32) * 4096, random());
                std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
                requests.push_back(
                    std::make_unique<Request>(Operation::write, offset, std::move(data), 0, at % 8 == 0));
                opened->submit(*requests.back());
            }
            if (random() % 4 == 0) {
                requests.push_back(std::make_unique<Request>(Operation::flush, 0, Bytes{}));
                opened->submit(*requests.back());
            }
            for (const auto& request : requests) {
                EXPECT_EQ(request->result.get(), 0);
            }
        }
    }};
    std::mt19937 random{3};
    // At least so often; on a busy machine until there was something to disturb.
    for (unsigned kills = 0; kills < 12 || (rounds < 6 && kills < 60); kills++) {
        std::this_thread::sleep_for(std::chrono::milliseconds{20 + random() % 150 + kills * 5});
        server.stop(SIGKILL);
        server = forgetful(); // by the thread that lives on: it is killed with the thread that started it
    }
    stop = true;
    load.join();
    EXPECT_GT(rounds, 5U);
    EXPECT_EQ(opened->read(0, model.size()), model);
    ASSERT_EQ(opened->flush(), 0);
    server.stop(SIGKILL);
    EXPECT_EQ(file(), model);
}

TEST_F(Outage, WritesBeyondTheLogsSizeAreFlushedMeanwhile) {
    constexpr std::size_t bytes = 96 << 20;
    make_file(bytes);
    Program server = forgetful();
    const auto opened = disk(remote());
    const Bytes data = pattern(1 << 20, 5);
    for (std::size_t at = 0; at < bytes; at += data.size()) {
        ASSERT_EQ(opened->write(at, data), 0);
    }
    server.stop(SIGKILL);
    server = forgetful();
    for (std::size_t at = 0; at < bytes; at += data.size()) {
        ASSERT_EQ(opened->read(at, data.size()), data) << at;
    }
}

TEST_F(Outage, PatienceEndsAndBegins) {
    make_file(1 << 20);
    Program server = forgetful();
    const auto opened = disk(remote(2s));
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), 0);
    server.stop(SIGKILL);
    auto begun = steady_clock::now();
    EXPECT_EQ(opened->write(4096, pattern(4096, 2)), -EIO);
    const auto waited = steady_clock::now() - begun;
    EXPECT_GT(waited, 1500ms);
    EXPECT_LT(waited, 15s);
    begun = steady_clock::now();
    EXPECT_EQ(opened->flush(), -EIO); // at once now
    EXPECT_LT(steady_clock::now() - begun, 1500ms);
    EXPECT_TRUE(logged("stayed away")) << "no log line";
    server = forgetful();
    EXPECT_TRUE(soon([&] { return opened->flush() == 0; }));
    EXPECT_EQ(opened->read(0, 4096), pattern(4096, 1)); // it was acknowledged
}

TEST_F(Outage, ASilentServer) {
    make_file(1 << 20);
    Program server = forgetful();
    const auto opened = disk(remote(1s));
    (void)::kill(server.pid(), SIGSTOP);
    ASSERT_EQ(::waitpid(server.pid(), nullptr, WUNTRACED), server.pid());
    const auto begun = steady_clock::now();
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), -EIO);
    EXPECT_LT(steady_clock::now() - begun, 15s);
    (void)::kill(server.pid(), SIGCONT);
    EXPECT_TRUE(soon([&] { return opened->write(0, pattern(4096, 2)) == 0; }));
    EXPECT_EQ(opened->read(0, 4096), pattern(4096, 2));
}

/// Given up by force: nothing waits for the server, and nothing is left.
TEST_F(Outage, ADiskThatIsAbandonedIsGoneAtOnce) {
    for (const bool silent : {false, true}) {
        make_file(1 << 20);
        Program server = forgetful();
        const auto opened = disk(remote());
        ASSERT_EQ(opened->write(0, pattern(4096, 1)), 0);
        if (silent) {
            (void)::kill(server.pid(), SIGSTOP);
            ASSERT_EQ(::waitpid(server.pid(), nullptr, WUNTRACED), server.pid());
        } else {
            server.stop(SIGKILL);
        }
        Request first{Operation::write, 0, pattern(4096, 2)};
        Request second{Operation::read, 4096, Bytes(4096)};
        opened->submit(first);
        opened->submit(second);
        EXPECT_EQ(first.result.wait_for(500ms), std::future_status::timeout);
        const auto begun = steady_clock::now();
        opened->abandon();
        EXPECT_EQ(first.result.get(), -EIO);
        EXPECT_EQ(second.result.get(), -EIO);
        EXPECT_LT(steady_clock::now() - begun, 5s); // the server is given half a minute
        boost::asio::io_context control;
        bool closed = false;
        opened->close(control, [&] { closed = true; });
        control.run_for(5s);
        EXPECT_TRUE(closed);
        EXPECT_LT(steady_clock::now() - begun, 10s);
        EXPECT_TRUE(soon([&] { return helpers().empty(); }, 3s)) << "its helper lives on";
        EXPECT_FALSE(logged("every request fails from now on")) << "as if it were a fault";
    }
}

TEST_F(Outage, AnotherDiskComesBack) {
    make_file(1 << 20);
    Program server = forgetful();
    const auto opened = disk(remote(5s));
    server.stop(SIGKILL);
    make_file(2 << 20);
    server = forgetful();
    EXPECT_EQ(opened->read(0, 4096), Bytes{});
    EXPECT_TRUE(logged("another disk"));
    EXPECT_EQ(opened->flush(), -EIO);
}

TEST_F(Outage, ADeadHelperFailsTheDiskOnly) {
    make_file(1 << 20);
    const Program server = nbdkit({"--filter=delay", "file", path("disk"), "wdelay=10"});
    const auto opened = disk(remote());
    Request pending{Operation::write, 0, pattern(4096, 1)};
    opened->submit(pending);
    bool killed = false;
    for (const pid_t pid : helpers()) {
        killed = ::kill(pid, SIGKILL) == 0;
    }
    ASSERT_TRUE(killed);
    EXPECT_EQ(pending.result.get(), -EIO);
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), -EIO);
    EXPECT_EQ(opened->flush(), -EIO);
    EXPECT_TRUE(logged("helper has ended"));
}

TEST_F(Outage, AFailedFlushIsRepeatedWithItsData) {
    // A server whose flush fails while a file says so, and which forgets the data then, as a kernel's page cache may.
    make_file(1 << 20);
    const std::string disk_path = path("disk"), bad = path("bad");
    const Program server =
        nbdkit({"eval", "get_size=echo 1M", "can_write=exit 0", "can_flush=exit 0",
                "pread=dd if=" + disk_path + " iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none",
                "pwrite=dd of=" + disk_path + " oflag=seek_bytes conv=notrunc seek=$4 status=none",
                "flush=if [ -e " + bad + " ]; then rm " + bad + "; truncate -s 0 " + disk_path + "; truncate -s 1M " +
                    disk_path + "; echo EIO flush >&2; exit 1; fi"});
    const auto opened = disk(remote());
    ASSERT_EQ(opened->write(0, pattern(4096, 1)), 0);
    ASSERT_EQ(opened->write(8192, pattern(4096, 2)), 0);
    std::ofstream{bad};
    EXPECT_EQ(opened->flush(), -EIO);
    EXPECT_EQ(opened->read(0, 4096), Bytes(4096)); // it is lost there
    EXPECT_EQ(opened->flush(), 0);
    EXPECT_EQ(opened->read(0, 4096), pattern(4096, 1)); // what a successful flush says is true
    EXPECT_EQ(opened->read(8192, 4096), pattern(4096, 2));
}

TEST_F(Outage, AServerThatIsSilentWhileTheLogIsWrittenAgain) {
    make_file(1 << 20);
    const std::string disk_path = path("disk"), bad = path("bad"), silent = path("silent");
    const Program server = nbdkit({"eval", "get_size=echo 1M", "can_write=exit 0", "can_flush=exit 0",
                                   "pread=dd if=" + disk_path +
                                       " iflag=skip_bytes,count_bytes skip=$4 count=$3 "
                                       "status=none",
                                   "pwrite=while [ -e " + silent + " ]; do sleep 0.1; done; dd of=" + disk_path +
                                       " oflag=seek_bytes conv=notrunc seek=$4 status=none",
                                   "flush=if [ -e " + bad + " ]; then rm " + bad + "; echo EIO flush >&2; exit 1; fi"});
    const auto opened = disk(remote(1s));
    ASSERT_EQ(opened->write(0, pattern(4096, 1)), 0);
    std::ofstream{bad};
    EXPECT_EQ(opened->flush(), -EIO);
    std::ofstream{silent};
    Request again{Operation::flush, 0, {}};
    opened->submit(again);
    const bool answered = again.result.wait_for(15s) == std::future_status::ready;
    EXPECT_TRUE(answered);
    ASSERT_EQ(::unlink(silent.c_str()), 0);
    EXPECT_EQ(again.result.get(), answered ? -EIO : 0);
    EXPECT_TRUE(soon([&] { return opened->flush() == 0; }));
    EXPECT_EQ(opened->read(0, 4096), pattern(4096, 1));
}

TEST_F(Outage, NothingOutlivesTheDomainsProcess) {
    ASSERT_EQ(run_program({"qemu-img", "create", "-q", "-f", "qcow2", path("disk"), "16M"}), 0);
    const pid_t domain = ::fork();
    if (domain == 0) {
        const auto connection = nbd::start_helper({"", path("disk"), "qcow2", false, 30s});
        (void)::poll(nullptr, 0, connection.ok() ? 30000 : 0);
        ::_exit(1);
    }
    ASSERT_TRUE(soon([&] { return processes_with(path("disk")).size() >= 2; })); // helper and qemu-nbd
    (void)::kill(domain, SIGKILL);
    (void)::waitpid(domain, nullptr, 0);
    EXPECT_TRUE(soon([&] { return processes_with(path("disk")).empty(); }));
}

} // namespace
