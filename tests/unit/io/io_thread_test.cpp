// SPDX-License-Identifier: Apache-2.0
// The data path's thread on the real io_uring of this host.
#include "backends/io/io_thread.hpp"
#include "backends/io/registered_memory.hpp"
#include "support/unique_fd.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <thread>

namespace {

using namespace std::chrono_literals;
using parapet::GuestFrames;
using parapet::UniqueFd;
using parapet::io::Completion;
using parapet::io::IoThread;

struct Result final : Completion {
    void complete(int result, unsigned) override { promise.set_value(result); }
    int get() { return promise.get_future().get(); }
    std::promise<int> promise;
};

void signal(int fd) {
    const std::uint64_t one = 1;
    ASSERT_EQ(write(fd, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
}

/// Waits for what another thread does, but not for ever.
template <typename Condition>
bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class IoThreadTest : public testing::Test {
protected:
    static constexpr std::size_t frames = 2048; // 8 MiB
    void SetUp() override {
        auto made = IoThread::create(64);
        ASSERT_TRUE(made.ok()) << made.error().message;
        io = *std::move(made);
        memory = static_cast<std::byte*>(aligned_alloc(2 << 20, frames * 4096));
        begin();
    }
    void TearDown() override {
        io->end();
        io.reset();
        std::free(memory);
    }
    void begin() {
        IoThread::Life life;
        life.doorbell = doorbell.get();
        life.interrupt = interrupt.get();
        life.take_ports = [this](const std::function<void(std::uint32_t)>& call) {
            const std::uint32_t taken = pending.exchange(0);
            for (std::uint32_t port = 0; port < 32; port++) {
                if ((taken >> port & 1) != 0) {
                    call(port);
                }
            }
        };
        life.mark_port = [this](std::uint32_t port) { marked |= 1U << port; };
        life.own_ports = {1};
        life.other_port = [this](std::uint32_t port) { others.store(port); };
        life.memory = GuestFrames{memory, frames, 1 << 20, 1 << 20};
        io->begin(std::move(life));
    }
    void ring(std::uint32_t port) {
        pending |= 1U << port;
        signal(doorbell.get());
    }
    int run(const std::function<void(Completion&)>& what) {
        Result result;
        io->call([&] { what(result); });
        return result.get();
    }

    UniqueFd doorbell{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    UniqueFd interrupt{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::atomic<std::uint32_t> pending{0}, marked{0}, others{0};
    std::byte* memory = nullptr;
    std::unique_ptr<IoThread> io;
};

UniqueFd temporary_file() {
    return UniqueFd{memfd_create("test", MFD_CLOEXEC)};
}

TEST_F(IoThreadTest, RunsWhatIsPostedInOrder) {
    std::vector<int> order;
    for (int i = 0; i < 1000; i++) {
        io->post([&order, i] { order.push_back(i); });
    }
    io->call([] {});
    ASSERT_EQ(order.size(), 1000U);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(IoThreadTest, ReadsAndWritesGuestMemoryByRegisteredBuffers) {
    const UniqueFd file = temporary_file();
    std::memset(memory + 4096, 0x5a, 4096);
    EXPECT_EQ(run([&](Completion& done) {
                  const int index = io->buffer_index(memory + 4096, 4096);
                  ASSERT_GE(index, 0);
                  io->prepare(done, io_uring_prep_write_fixed, file.get(), memory + 4096, 4096U, 0ULL, index);
              }),
              4096);
    EXPECT_EQ(run([&](Completion& done) {
                  const int index = io->buffer_index(memory + (5 << 20), 4096);
                  ASSERT_GE(index, 0);
                  io->prepare(done, io_uring_prep_read_fixed, file.get(), memory + (5 << 20), 4096U, 0ULL, index);
              }),
              4096);
    EXPECT_EQ(std::memcmp(memory + 4096, memory + (5 << 20), 4096), 0);
    EXPECT_EQ(io->statistics().fixed, 2U);
}

TEST_F(IoThreadTest, GivesNoBufferForOtherMemoryOrTwoPieces) {
    io->call([&] {
        std::array<char, 64> mine{};
        EXPECT_EQ(io->buffer_index(mine.data(), mine.size()), -1);
        EXPECT_EQ(io->buffer_index(memory + (2 << 20) - 4096, 8192), -1);
        EXPECT_EQ(io->buffer_index(memory + frames * 4096 - 4096, 8192), -1);
        EXPECT_EQ(io->buffer_index(memory - 1, 1), -1);
        EXPECT_EQ(io->buffer_index(memory, 0), -1);
        EXPECT_GE(io->buffer_index(memory + frames * 4096 - 4096, 4096), 0);
    });
}

/// A frame that went to the host and came back is another page: the ring must not read the old one.
TEST_F(IoThreadTest, ForgetsMemoryThatIsGivenBack) {
    const UniqueFd file = temporary_file();
    const auto store = [&](Completion& done) {
        io->prepare(done, io_uring_prep_write_fixed, file.get(), memory + 4096, 4096U, 0ULL,
                    io->buffer_index(memory + 4096, 4096));
    };
    std::memset(memory + 4096, 1, 4096);
    ASSERT_EQ(run(store), 4096);
    const std::byte* page = memory + 4096;
    io->forget_memory({&page, 1});
    ASSERT_EQ(madvise(memory + 4096, 4096, MADV_DONTNEED), 0);
    std::memset(memory + 4096, 2, 4096);
    ASSERT_EQ(run(store), 4096);
    char byte = 0;
    ASSERT_EQ(pread(file.get(), &byte, 1, 100), 1);
    EXPECT_EQ(byte, 2);
}

/// An operation that is prepared, but not submitted, when a page beside its own goes.
TEST_F(IoThreadTest, ForgettingMemorySparesWhatIsPrepared) {
    const UniqueFd file = temporary_file();
    Result result;
    const auto store = [&](Completion& done) {
        io->prepare(done, io_uring_prep_write_fixed, file.get(), memory + 4096, 4096U, 0ULL,
                    io->buffer_index(memory + 4096, 4096));
    };
    ASSERT_EQ(run(store), 4096); // registers the piece
    std::promise<void> go;
    io->post([&] { go.get_future().wait(); });
    std::this_thread::sleep_for(20ms); // what follows comes in one batch
    io->post([&] { store(result); });
    std::thread other{[&] {
        const std::byte* page = memory + 8192;
        io->forget_memory({&page, 1});
    }};
    std::this_thread::sleep_for(20ms);
    go.set_value();
    other.join();
    EXPECT_EQ(result.get(), 4096);
}

TEST_F(IoThreadTest, LooksAgainThoughNothingHappens) {
    std::promise<void> done;
    unsigned looks = 0;
    std::function<void()> look = [&] { ++looks == 5 ? done.set_value() : static_cast<void>(io->look_again(look)); };
    io->call([&] { EXPECT_TRUE(io->look_again(look)); });
    EXPECT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
}

TEST_F(IoThreadTest, DeferredWorkThatGoesOnDoesNotKeepTheOthersWaiting) {
    bool going_on = true;
    unsigned passes = 0;
    std::function<void()> again = [&] {
        passes++;
        if (going_on && passes < 5'000'000) {
            io->defer(again);
        }
    };
    io->call([&] { io->defer(again); });
    Result timer;
    io->call([&] { io->after(1ms, timer); });
    EXPECT_EQ(timer.get(), 0);
    io->call([&] { going_on = false; });
    io->call([] {});
    EXPECT_LT(passes, 5'000'000U);
}

TEST_F(IoThreadTest, RefusesWhatTheDataPathDoesNotNeed) {
    EXPECT_EQ(run([&](Completion& done) {
                  io->prepare(done, io_uring_prep_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, static_cast<mode_t>(0));
              }),
              -EACCES);
    EXPECT_EQ(run([&](Completion& done) { io->prepare(done, io_uring_prep_socket, AF_INET, SOCK_STREAM, 0, 0U); }),
              -EACCES);
}

TEST_F(IoThreadTest, CallsThePortsHandlerAndSignalsOncePerRound) {
    std::promise<void> seen;
    io->call([&] {
        io->bind_port(3, [&] {
            io->notify(7);
            io->notify(8);
            io->defer([&] { io->post([&] { seen.set_value(); }); });
        });
    });
    ring(3);
    seen.get_future().wait();
    io->call([] {});
    EXPECT_EQ(marked.load(), 1U << 7 | 1U << 8);
    std::uint64_t signals = 0;
    ASSERT_EQ(read(interrupt.get(), &signals, sizeof(signals)), static_cast<ssize_t>(sizeof(signals)));
    EXPECT_EQ(signals, 1U);
    EXPECT_EQ(io->statistics().signals, 1U);
}

TEST_F(IoThreadTest, HandsOtherPortsOnAlsoAfterUnbinding) {
    io->call([&] { io->bind_port(3, [&] { io->unbind_port(3); }); });
    ring(3);
    io->call([] {});
    ASSERT_TRUE(eventually([&] { return io->statistics().doorbells != 0; }));
    EXPECT_EQ(others.load(), 0U) << "it was bound";
    ring(3);
    EXPECT_TRUE(eventually([&] { return others.load() == 3; }));
}

TEST_F(IoThreadTest, KnowsWhichPortsAreFree) {
    io->call([&] {
        EXPECT_TRUE(io->port_is_free(3));
        io->bind_port(3, [] {});
        EXPECT_FALSE(io->port_is_free(3));
        EXPECT_TRUE(io->port_is_free(4));
        EXPECT_FALSE(io->port_is_free(1)) << "the domain's own";
        io->unbind_port(3);
        EXPECT_TRUE(io->port_is_free(3));
    });
}

TEST_F(IoThreadTest, TakesWhatWasSaidBeforeItListened) {
    io->end();
    pending = 1U << 5;
    begin();
    io->call([] {});
    EXPECT_EQ(others.load(), 5U);
}

TEST_F(IoThreadTest, CallsNobodyAfterTheEndOfALife) {
    std::atomic<int> calls{0};
    io->call([&] { io->bind_port(2, [&] { calls++; }); });
    io->end();
    ring(2);
    io->call([] {});
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(calls.load(), 0);
    begin();
    io->call([] {});
    EXPECT_EQ(others.load(), 2U) << "the port is nobody's in the new life";
}

TEST_F(IoThreadTest, CompletesATimerAfterItsDelay) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(run([&](Completion& done) { io->after(30ms, done); }), 0);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 30ms);
}

/// A queue of a disk that hangs, say: it would try again in a second, for ever.
TEST_F(IoThreadTest, EndsThoughSomebodyWaitsAgainAndAgain) {
    struct Again final : Completion {
        explicit Again(IoThread& thread) : io{thread} {}
        void complete(int result, unsigned) override {
            last = result;
            if (++times < 1000) { // or the test would not end either
                io.after(1h, *this);
            }
        }
        IoThread& io;
        int last = 0, times = 0;
    };
    auto made = IoThread::create(8);
    ASSERT_TRUE(made.ok());
    Again again{**made};
    IoThread::Life life;
    const UniqueFd bell{::eventfd(0, EFD_NONBLOCK)}, alarm{::eventfd(0, EFD_NONBLOCK)};
    life.doorbell = bell.get();
    life.interrupt = alarm.get();
    (*made)->begin(std::move(life));
    (*made)->call([&] { (*made)->after(1h, again); });
    (*made)->end();
    (*made).reset();
    EXPECT_EQ(again.times, 1);
    EXPECT_EQ(again.last, -ECANCELED);
}

TEST_F(IoThreadTest, TakesMoreOperationsThanItsQueueHolds) {
    std::atomic<int> done{0};
    struct Count final : Completion {
        void complete(int, unsigned) override { (*counter)++; }
        std::atomic<int>* counter = nullptr;
    } count;
    count.counter = &done;
    io->call([&] {
        for (int i = 0; i < 1000; i++) {
            io->prepare(count, io_uring_prep_nop);
        }
    });
    for (int tries = 0; tries < 1000 && done.load() != 1000; tries++) {
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(done.load(), 1000);
}

} // namespace
