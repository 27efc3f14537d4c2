// SPDX-License-Identifier: Apache-2.0
// The console backend with pipes, ptys and a fake guest: slow, closed and missing readers, input, escape, end.
#include "backends/console/console_backend.hpp"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <termios.h>
#include <thread>
#include <unistd.h>

namespace parapet::console {
namespace {

using namespace std::chrono_literals;

struct Pipe {
    int read_end = -1;
    int write_end = -1;
    Pipe() {
        std::array<int, 2> ends{};
        EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
        read_end = ends[0];
        write_end = ends[1];
    }
    ~Pipe() {
        close_reader();
        close_writer();
    }
    void close_reader() { shut(read_end); }
    void close_writer() { shut(write_end); }
    static void shut(int& fd) {
        if (fd >= 0) {
            close(fd);
            fd = -1;
        }
    }
};

std::string read_available(int fd) {
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        pollfd state{.fd = fd, .events = POLLIN, .revents = 0};
        if (poll(&state, 1, 0) <= 0 || (state.revents & POLLIN) == 0) {
            return text;
        }
        const ssize_t count = read(fd, buffer.data(), buffer.size());
        if (count <= 0) {
            return text;
        }
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
}

class ConsoleBackendTest : public testing::Test {
protected:
    boost::asio::io_context io;
    std::unique_ptr<xencons_interface> page = std::make_unique<xencons_interface>();
    std::string observed;
    std::string closed_reason;
    int closed_calls = 0;
    int notified = 0;
    int escapes = 0;
    int logs = 0;
    std::unique_ptr<ConsoleBackend> backend;

    void open(const ConsoleConfig& config) {
        auto streams = open_console(config);
        ASSERT_TRUE(streams.ok()) << streams.error().message;
        backend = std::make_unique<ConsoleBackend>(
            io, ConsoleRing{*page}, std::make_shared<ConsoleStreams>(std::move(*streams)),
            ConsoleHooks{.notify_guest = [this] { ++notified; },
                         .on_output = [this](std::string_view bytes) { observed += bytes; },
                         .on_closed =
                             [this](std::string_view reason) {
                                 ++closed_calls;
                                 closed_reason = reason;
                             },
                         .on_escape = [this] { ++escapes; },
                         .log = [this](std::string_view) { ++logs; }});
        backend->start();
    }
    static ConsoleConfig stdio(int in, int out) {
        return {.kind = ConsoleConfig::Kind::stdio, .file = {}, .append = false, .input_fd = in, .output_fd = out};
    }
    static ConsoleConfig file(const std::string& name, bool append = false) {
        return {.kind = ConsoleConfig::Kind::file, .file = name, .append = append};
    }
    static ConsoleConfig none() { return {.kind = ConsoleConfig::Kind::none, .file = {}}; }

    void run() {
        io.restart();
        io.run_for(30ms);
    }
    std::size_t guest_writes(std::string_view text) {
        std::size_t count = 0;
        while (count < text.size() && page->out_prod - page->out_cons < sizeof page->out) {
            page->out[page->out_prod++ % sizeof page->out] = text[count++];
        }
        return count;
    }
    std::string guest_reads() {
        std::string text;
        while (page->in_cons != page->in_prod) {
            text += page->in[page->in_cons++ % sizeof page->in];
        }
        return text;
    }
};

TEST_F(ConsoleBackendTest, OutputReachesPipeAndObserver) {
    Pipe out;
    open(stdio(-1, out.write_end));
    guest_writes("parapet-init: 1.5\r\n");
    backend->on_guest_kick();
    EXPECT_EQ(read_available(out.read_end), "parapet-init: 1.5\r\n");
    EXPECT_EQ(observed, "parapet-init: 1.5\r\n");
    EXPECT_EQ(notified, 0); // a guest with more than half of its ring free waits for nothing
    guest_writes(std::string(1500, 'x'));
    backend->on_guest_kick();
    EXPECT_EQ(read_available(out.read_end).size(), 1500U);
    EXPECT_EQ(notified, 1);
}

TEST_F(ConsoleBackendTest, AGuestThatNeverStopsWritingDoesNotFillTheQueue) {
    bool goes_on = true;
    const auto fill = [&] {
        if (goes_on) {
            page->out_prod = page->out_cons + static_cast<std::uint32_t>(sizeof page->out);
        }
    };
    backend = std::make_unique<ConsoleBackend>(
        io, ConsoleRing{*page}, std::make_shared<ConsoleStreams>(*open_console(none())),
        ConsoleHooks{.notify_guest = {},
                     .on_output = [&](std::string_view) { fill(); }, // it writes as fast as we read
                     .on_closed = {},
                     .on_escape = {},
                     .log = {}});
    fill();
    for (int i = 0; i < 1000; i++) {
        backend->on_guest_kick();
    }
    goes_on = false;
    EXPECT_LT(io.poll(), 10u) << "pumps that wait";
}

TEST_F(ConsoleBackendTest, OriginalDescriptorsStayBlocking) {
    Pipe in;
    Pipe out;
    open(stdio(in.read_end, out.write_end));
    run();
    EXPECT_EQ(fcntl(in.read_end, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(fcntl(out.write_end, F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(ConsoleBackendTest, SlowReaderFillsRingButNeverBlocksAndLosesNothing) {
    Pipe out;
    ASSERT_GE(fcntl(out.write_end, F_SETPIPE_SZ, 4096), 4096);
    open(stdio(-1, out.write_end));
    std::string sent;
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < 1000; ++round) {
        const std::string text = "line " + std::to_string(round) + std::string(300, '.') + "\n";
        const std::size_t count = guest_writes(text);
        sent.append(text, 0, count);
        backend->on_guest_kick();
        if (count < text.size()) {
            break;
        }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_EQ(page->out_prod - page->out_cons, sizeof page->out); // back pressure reached the guest
    EXPECT_LT(sent.size(), 4096 + ConsoleBackend::queue_size + 2 * 2048);
    bool other_work_ran = false;
    boost::asio::steady_timer timer{io, 1ms};
    timer.async_wait([&](const boost::system::error_code&) { other_work_ran = true; });
    run();
    EXPECT_TRUE(other_work_ran);
    std::string received;
    for (int round = 0; round < 400 && received.size() < sent.size(); ++round) {
        received += read_available(out.read_end);
        io.restart();
        io.run_for(2ms);
    }
    EXPECT_EQ(received, sent);
    EXPECT_EQ(closed_calls, 0);
}

TEST_F(ConsoleBackendTest, FinishIsBoundedWithStuckReader) {
    Pipe out;
    ASSERT_GE(fcntl(out.write_end, F_SETPIPE_SZ, 4096), 4096);
    open(stdio(-1, out.write_end));
    while (guest_writes(std::string(1000, 'x')) == 1000) {
        backend->on_guest_kick();
    }
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(backend->finish(100ms));
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(took, 90ms);
    EXPECT_LT(took, 2s);
}

TEST_F(ConsoleBackendTest, FinishWaitsForReaderThatIsOnlySlow) {
    Pipe out;
    ASSERT_GE(fcntl(out.write_end, F_SETPIPE_SZ, 4096), 4096);
    open(stdio(-1, out.write_end));
    std::size_t sent = 0;
    for (std::size_t count = 1000; count == 1000; sent += count) {
        count = guest_writes(std::string(1000, 'x'));
        backend->on_guest_kick();
    }
    std::string received;
    std::thread reader{[&] {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (received.size() < sent && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(5ms);
            received += read_available(out.read_end);
        }
    }};
    EXPECT_TRUE(backend->finish(20s));
    reader.join();
    EXPECT_EQ(received.size(), sent);
    EXPECT_EQ(page->out_cons, page->out_prod);
}

TEST_F(ConsoleBackendTest, FullRingIsEmptiedWhenStuckReaderCloses) {
    Pipe out;
    ASSERT_GE(fcntl(out.write_end, F_SETPIPE_SZ, 4096), 4096);
    open(stdio(-1, out.write_end));
    while (guest_writes(std::string(1000, 'x')) == 1000) {
        backend->on_guest_kick();
    }
    ASSERT_EQ(page->out_prod - page->out_cons, sizeof page->out);
    notified = 0;
    out.close_reader();
    run(); // the guest cannot kick: it waits for room
    EXPECT_EQ(page->out_prod, page->out_cons);
    EXPECT_GE(notified, 1);
    EXPECT_EQ(closed_calls, 1);
}

TEST_F(ConsoleBackendTest, FinishWritesWhatIsLeftInRing) {
    Pipe out;
    open(stdio(-1, out.write_end));
    guest_writes("last words"); // no kick
    EXPECT_TRUE(backend->finish(1s));
    EXPECT_EQ(read_available(out.read_end), "last words");
}

TEST_F(ConsoleBackendTest, ClosedReaderIsReportedOnceAndGuestGoesOn) {
    Pipe out;
    open(stdio(-1, out.write_end));
    out.close_reader();
    for (int round = 0; round < 10; ++round) {
        EXPECT_EQ(guest_writes(std::string(2048, 'z')), 2048U);
        backend->on_guest_kick();
        run();
    }
    EXPECT_EQ(closed_calls, 1);
    EXPECT_NE(closed_reason.find("standard output"), std::string::npos);
    EXPECT_TRUE(backend->closed());
    EXPECT_EQ(observed.size(), 10U * 2048);
    EXPECT_FALSE(backend->finish(1s));
}

TEST_F(ConsoleBackendTest, ClosedReaderIsNoticedWhileGuestIsSilent) {
    Pipe out;
    open(stdio(-1, out.write_end));
    run();
    EXPECT_EQ(closed_calls, 0);
    out.close_reader();
    run();
    EXPECT_EQ(closed_calls, 1);
}

TEST_F(ConsoleBackendTest, FullDeviceIsReported) {
    open(file("/dev/full"));
    guest_writes("x");
    backend->on_guest_kick();
    EXPECT_EQ(closed_calls, 1);
    EXPECT_NE(closed_reason.find("No space left"), std::string::npos);
}

TEST_F(ConsoleBackendTest, NoneDiscardsButObserves) {
    open(none());
    EXPECT_EQ(guest_writes(std::string(2048, 'n')), 2048U);
    backend->on_guest_kick();
    EXPECT_EQ(observed.size(), 2048U);
    EXPECT_EQ(page->out_cons, page->out_prod);
    EXPECT_TRUE(backend->finish(1s));
}

TEST_F(ConsoleBackendTest, HostileIndicesAreLoggedOnce) {
    open(none());
    for (int round = 0; round < 5; ++round) {
        page->out_prod = page->out_cons + 0x1234'5678U;
        backend->on_guest_kick();
    }
    EXPECT_EQ(logs, 1);
    guest_writes("fine");
    backend->on_guest_kick();
    EXPECT_EQ(observed, "fine");
}

TEST_F(ConsoleBackendTest, EndlessOutputLeavesTheThreadToOthers) {
    open(none());
    int others = 0;
    boost::asio::steady_timer timer{io, 5ms};
    timer.async_wait([&](const boost::system::error_code&) { ++others; });
    // A guest that refills its ring whenever it is notified.
    guest_writes(std::string(2048, 'e'));
    backend->on_guest_kick();
    std::function<void()> refill = [&] {
        guest_writes(std::string(2048, 'e'));
        backend->on_guest_kick();
        boost::asio::post(io, refill);
    };
    boost::asio::post(io, refill);
    io.run_for(50ms);
    EXPECT_EQ(others, 1);
}

TEST_F(ConsoleBackendTest, InputReachesGuestWithBackPressure) {
    Pipe in;
    Pipe out;
    open(stdio(in.read_end, out.write_end));
    const std::string text(200'000, 'i');
    std::size_t written = 0;
    fcntl(in.write_end, F_SETFL, O_NONBLOCK);
    for (int round = 0; round < 20; ++round) {
        const ssize_t count = write(in.write_end, text.data() + written, text.size() - written);
        written += count > 0 ? static_cast<std::size_t>(count) : 0;
        run();
    }
    EXPECT_LT(written, text.size()); // the guest reads nothing: neither do we, for ever
    std::string received;
    for (int round = 0; round < 2000 && received.size() < text.size(); ++round) {
        received += guest_reads();
        backend->on_guest_kick();
        const ssize_t count =
            written < text.size() ? write(in.write_end, text.data() + written, text.size() - written) : 0;
        written += count > 0 ? static_cast<std::size_t>(count) : 0;
        io.restart();
        io.poll();
    }
    EXPECT_EQ(received.size(), text.size());
    EXPECT_EQ(received, text);
}

TEST_F(ConsoleBackendTest, EndOfInputKeepsConsoleOpen) {
    Pipe in;
    Pipe out;
    open(stdio(in.read_end, out.write_end));
    ASSERT_EQ(write(in.write_end, "bye", 3), 3);
    in.close_writer();
    run();
    EXPECT_EQ(guest_reads(), "bye");
    EXPECT_EQ(closed_calls, 0);
    guest_writes("still here");
    backend->on_guest_kick();
    EXPECT_EQ(read_available(out.read_end), "still here");
}

TEST_F(ConsoleBackendTest, InputFromFileAndFromDevNull) {
    const std::string name = testing::TempDir() + "console-input-" + std::to_string(getpid());
    std::ofstream{name} << std::string(5000, 'f');
    Pipe out;
    const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    open(stdio(fd, out.write_end));
    std::string received;
    for (int round = 0; round < 20; ++round) {
        run();
        received += guest_reads();
        backend->on_guest_kick();
    }
    EXPECT_EQ(received, std::string(5000, 'f'));
    EXPECT_EQ(closed_calls, 0);
    close(fd);
    std::filesystem::remove(name);

    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    open(stdio(null, out.write_end));
    run();
    EXPECT_EQ(closed_calls, 0);
    close(null);
}

TEST_F(ConsoleBackendTest, FileIsTruncatedUnlessAppended) {
    const std::string name = testing::TempDir() + "console-file-" + std::to_string(getpid());
    std::ofstream{name} << "something old";
    const auto write_once = [&](bool append, const char* text) {
        open(file(name, append));
        guest_writes(text);
        EXPECT_TRUE(backend->finish(1s));
    };
    const auto content = [&] {
        std::ifstream stream{name};
        return std::string{std::istreambuf_iterator<char>{stream}, {}};
    };
    write_once(false, "first");
    EXPECT_EQ(content(), "first");
    write_once(true, "+second");
    EXPECT_EQ(content(), "first+second");
    std::filesystem::remove(name);
}

TEST_F(ConsoleBackendTest, StdoutRedirectedToFileKeepsItsOffset) {
    const std::string name = testing::TempDir() + "console-redirect-" + std::to_string(getpid());
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT_EQ(write(fd, "before ", 7), 7);
    open(stdio(-1, fd));
    guest_writes("console");
    EXPECT_TRUE(backend->finish(1s));
    std::array<char, 64> buffer{};
    EXPECT_EQ(pread(fd, buffer.data(), buffer.size(), 0), 14);
    EXPECT_STREQ(buffer.data(), "before console");
    close(fd);
    std::filesystem::remove(name);
}

TEST_F(ConsoleBackendTest, UnusableSinksAreErrors) {
    EXPECT_FALSE(open_console(file("/nonexistent/folder/log")).ok());
    EXPECT_FALSE(open_console(file("/")).ok());
    const std::string fifo = testing::TempDir() + "console-fifo-" + std::to_string(getpid());
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const auto result = open_console(file(fifo)); // must not hang
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.error().message.find("nobody reads"), std::string::npos);
    std::filesystem::remove(fifo);
    EXPECT_FALSE(open_console(stdio(-1, -1)).ok());
}

class ConsolePtyTest : public ConsoleBackendTest {
protected:
    int master = -1;
    int slave = -1;

    void SetUp() override {
        master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        ASSERT_GE(master, 0);
        ASSERT_EQ(grantpt(master), 0);
        ASSERT_EQ(unlockpt(master), 0);
        slave = ::open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        ASSERT_GE(slave, 0);
        termios mode{};
        tcgetattr(slave, &mode);
        cfmakeraw(&mode);
        tcsetattr(slave, TCSANOW, &mode);
    }
    void TearDown() override {
        backend.reset();
        Pipe::shut(master);
        Pipe::shut(slave);
    }
};

TEST_F(ConsolePtyTest, RoundTrip) {
    open(stdio(slave, slave));
    ASSERT_EQ(write(master, "ls\r", 3), 3);
    run();
    EXPECT_EQ(guest_reads(), "ls\r");
    guest_writes("bin dev\r\n");
    backend->on_guest_kick();
    run();
    EXPECT_EQ(read_available(master), "bin dev\r\n");
}

TEST_F(ConsolePtyTest, EscapeIsSeenEvenWhenGuestReadsNothing) {
    open(stdio(slave, slave));
    for (int round = 0; round < 40; ++round) {
        ASSERT_EQ(write(master, std::string(4000, 'k').data(), 4000), 4000);
        run();
    }
    ASSERT_EQ(write(master,
                    "ab\x1d"
                    "cd",
                    5),
              5);
    run();
    EXPECT_EQ(escapes, 1);
}

TEST_F(ConsolePtyTest, EscapeIsNotGivenToGuest) {
    open(stdio(slave, slave));
    ASSERT_EQ(write(master, "ab\x1d", 3), 3);
    run();
    EXPECT_EQ(escapes, 1);
    EXPECT_EQ(guest_reads(), "ab");
}

TEST_F(ConsolePtyTest, StoppedTerminalDoesNotBlock) {
    open(stdio(slave, slave));
    ASSERT_EQ(tcflow(slave, TCOOFF), 0); // as after Ctrl-S
    std::size_t sent = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < 200; ++round) {
        sent += guest_writes(std::string(1000, 's'));
        backend->on_guest_kick();
    }
    EXPECT_FALSE(backend->finish(50ms));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_LT(sent, 200'000U);
}

TEST_F(ConsolePtyTest, HungUpTerminalIsReported) {
    open(stdio(slave, slave));
    run();
    Pipe::shut(master);
    run();
    EXPECT_EQ(closed_calls, 1);
}

} // namespace
} // namespace parapet::console
