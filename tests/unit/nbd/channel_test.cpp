// SPDX-License-Identifier: Apache-2.0
// The vmm's end against a helper that has been taken over.
#include "backends/io/io_thread.hpp"
#include "backends/nbd/channel.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <future>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>

namespace {

using namespace std::chrono_literals;
using namespace parapet;
using namespace parapet::nbd;
using disk::Operation;

struct Request final : disk::TargetRequest {
    Request(Operation what, std::uint64_t where, std::size_t bytes) : data(bytes) {
        operation = what;
        offset = where;
        length = bytes;
        piece = {data.data(), data.size()};
        segments = {&piece, 1};
    }
    void complete(int outcome) override {
        answers++;
        promise.set_value(outcome);
    }
    std::vector<std::byte> data;
    iovec piece{};
    std::atomic<int> answers = 0;
    std::promise<int> promise;
    std::future<int> result = promise.get_future();
};

class ChannelTest : public testing::Test {
protected:
    void SetUp() override {
        auto made = io::IoThread::create(64);
        ASSERT_TRUE(made.ok()) << made.error().message;
        io = *std::move(made);
        io::IoThread::Life life;
        life.doorbell = doorbell.get();
        life.interrupt = interrupt.get();
        io->begin(std::move(life));
    }
    void TearDown() override {
        if (channel) {
            io->call([&] { channel->say_bye(); });
        }
        helper = UniqueFd{};
        std::this_thread::sleep_for(20ms);
        io->end();
    }
    static UniqueFd memory_file(std::size_t bytes, bool sealed) {
        UniqueFd file{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
        if (sealed) {
            EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        }
        return file;
    }
    static Hello hello() {
        Hello said;
        said.flags = flag::flush | flag::discard | flag::write_zeroes;
        said.bytes = 1 << 30;
        said.most_data = slot_bytes;
        return said;
    }
    Result<std::shared_ptr<Channel>> create(const Hello& said, bool sealed = true, std::size_t bytes = memory_bytes) {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        helper = UniqueFd{ends[1]};
        UniqueFd memory = memory_file(bytes, sealed);
        if (bytes == memory_bytes) {
            shared = static_cast<std::byte*>(
                ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0));
        }
        return Channel::create({UniqueFd{ends[0]}, std::move(memory), said}, "disk",
                               [this](std::string_view) { lines++; });
    }
    void start() {
        auto made = create(hello());
        ASSERT_TRUE(made.ok()) << made.error().message;
        channel = *made;
        io->call([&] { channel->attach(*io); });
    }
    void submit(Request& request) {
        io->call([&] { channel->submit(request); });
    }
    /// What the helper gets.
    RequestMessage take() {
        RequestMessage message;
        const ssize_t got = ::recv(helper.get(), &message, sizeof(message), 0);
        EXPECT_EQ(static_cast<std::size_t>(got), message_bytes<RequestMessage>(message.header.count));
        return message;
    }
    void say(const void* message, std::size_t bytes) {
        ASSERT_EQ(::send(helper.get(), message, bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    }
    void answer(std::vector<WireCompletion> completions) {
        CompletionMessage message;
        message.header.count = static_cast<std::uint32_t>(completions.size());
        std::copy(completions.begin(), completions.end(), message.entries.begin());
        say(&message, message_bytes<CompletionMessage>(completions.size()));
    }
    /// All that is under way has failed, once, with one line of log, and new requests fail.
    void expect_broken(Request& pending) {
        ASSERT_EQ(pending.result.wait_for(5s), std::future_status::ready);
        EXPECT_EQ(pending.result.get(), -EIO);
        Request next{Operation::read, 0, 512};
        submit(next);
        ASSERT_EQ(next.result.wait_for(5s), std::future_status::ready);
        EXPECT_EQ(next.result.get(), -EIO);
        EXPECT_EQ(pending.answers, 1);
        EXPECT_EQ(lines, 1);
    }

    UniqueFd doorbell{::eventfd(0, EFD_CLOEXEC)}, interrupt{::eventfd(0, EFD_CLOEXEC)};
    std::unique_ptr<io::IoThread> io;
    std::shared_ptr<Channel> channel;
    UniqueFd helper;
    std::byte* shared = nullptr;
    std::atomic<int> lines = 0;
};

TEST_F(ChannelTest, OneRoundIsOneMessage) {
    start();
    std::vector<std::unique_ptr<Request>> requests;
    for (unsigned i = 0; i < 8; i++) {
        requests.push_back(std::make_unique<Request>(Operation::read, i * 4096, 4096));
    }
    io->call([&] {
        for (const auto& request : requests) {
            channel->submit(*request);
        }
    });
    const RequestMessage message = take();
    ASSERT_EQ(message.header.count, 8U);
    std::vector<WireCompletion> completions;
    for (unsigned i = 8; i-- > 0;) { // in another order
        const std::uint16_t slot = message.entries[i].slot;
        shared[std::size_t{slot} * slot_bytes] = static_cast<std::byte>(i + 1);
        completions.push_back({slot, 0, 0});
    }
    answer(completions);
    for (unsigned i = 0; i < 8; i++) {
        ASSERT_EQ(requests[i]->result.get(), 0);
        EXPECT_EQ(requests[i]->data[0], static_cast<std::byte>(i + 1));
    }
}

TEST_F(ChannelTest, ALargeRequestFailsWithItsFirstError) {
    start();
    Request request{Operation::write, 0, 3 * slot_bytes};
    submit(request);
    RequestMessage message = take();
    ASSERT_EQ(message.header.count, 3U);
    answer({{message.entries[1].slot, 0, -ENOSPC}});
    answer({{message.entries[0].slot, 0, 0}, {message.entries[2].slot, 0, -EIO}});
    EXPECT_EQ(request.result.get(), -ENOSPC);
}

TEST_F(ChannelTest, MoreThanThereAreSlotsWaits) {
    start();
    Request request{Operation::read, 0, (slot_count + 7) * std::size_t{slot_bytes}};
    submit(request);
    std::size_t seen = 0;
    while (seen < slot_count + 7) {
        const RequestMessage message = take();
        std::vector<WireCompletion> completions;
        for (std::uint32_t i = 0; i < message.header.count; i++) {
            completions.push_back({message.entries[i].slot, 0, 0});
        }
        seen += completions.size();
        answer(completions);
    }
    EXPECT_EQ(request.result.get(), 0);
}

TEST_F(ChannelTest, AHelperThatEnds) {
    start();
    Request request{Operation::write, 0, 4096};
    submit(request);
    take();
    helper = UniqueFd{};
    expect_broken(request);
}

TEST_F(ChannelTest, ASlotThatIsNotUnderWay) {
    start();
    Request request{Operation::write, 0, 4096};
    submit(request);
    const RequestMessage message = take();
    answer({{static_cast<std::uint16_t>(message.entries[0].slot + 1), 0, 0}});
    expect_broken(request);
}

TEST_F(ChannelTest, ASlotBeyondTheLast) {
    start();
    Request request{Operation::write, 0, 4096};
    submit(request);
    take();
    answer({{slot_count, 0, 0}});
    expect_broken(request);
}

TEST_F(ChannelTest, AnAnswerGivenTwice) {
    start();
    Request first{Operation::write, 0, 4096}, second{Operation::write, 0, 4096};
    submit(first);
    const std::uint16_t slot = take().entries[0].slot;
    submit(second);
    const std::uint16_t other = take().entries[0].slot;
    ASSERT_NE(slot, other);
    answer({{slot, 0, 0}, {slot, 0, 0}});
    EXPECT_EQ(first.result.get(), 0);
    EXPECT_EQ(first.answers, 1);
    expect_broken(second);
}

TEST_F(ChannelTest, AResultThatIsNone) {
    for (const int result : {1, -4096, INT32_MIN}) {
        lines = 0;
        start();
        Request request{Operation::write, 0, 4096};
        submit(request);
        answer({{take().entries[0].slot, 0, result}});
        expect_broken(request);
    }
}

TEST_F(ChannelTest, MalformedMessages) {
    CompletionMessage many;
    many.header.count = most_entries + 1;
    CompletionMessage short_one;
    short_one.header.count = 2;
    const Hello again = hello();
    Event unknown;
    unknown.what = static_cast<Happening>(99);
    const Header unknown_kind{static_cast<Kind>(7), 0};
    const std::pair<const void*, std::size_t> messages[] = {{&many, sizeof(many)},   {&short_one, 16},
                                                            {&again, sizeof(again)}, {&unknown, sizeof(unknown)},
                                                            {&unknown_kind, 8},      {"abc", 3}};
    for (const auto& [message, bytes] : messages) {
        lines = 0;
        start();
        Request request{Operation::write, 0, 4096};
        submit(request);
        take();
        say(message, bytes);
        expect_broken(request);
    }
}

TEST_F(ChannelTest, EventsAreLogged) {
    start();
    for (const Happening what : {Happening::lost, Happening::gave_up, Happening::returned}) {
        Event event;
        event.what = what;
        say(&event, sizeof(event));
    }
    Request request{Operation::read, 0, 512};
    submit(request);
    answer({{take().entries[0].slot, 0, 0}});
    EXPECT_EQ(request.result.get(), 0);
    EXPECT_EQ(lines, 3);
}

TEST_F(ChannelTest, ByeIsNoFailure) {
    start();
    io->call([&] { channel->say_bye(); });
    Bye bye;
    ASSERT_EQ(::recv(helper.get(), &bye, sizeof(bye), 0), static_cast<ssize_t>(sizeof(bye)));
    EXPECT_EQ(bye.header.kind, Kind::bye);
    helper = UniqueFd{};
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(lines, 0);
}

TEST_F(ChannelTest, MemoryThatCouldBeCutIsRefused) {
    EXPECT_FALSE(create(hello(), false).ok());
    EXPECT_FALSE(create(hello(), true, memory_bytes - 4096).ok());
}

TEST_F(ChannelTest, GeometryThatCannotBeIsRefused) {
    const auto refused = [this](const std::function<void(Hello&)>& spoil) {
        Hello said = hello();
        spoil(said);
        return !create(said).ok();
    };
    EXPECT_FALSE(refused([](Hello&) {}));
    EXPECT_TRUE(refused([](Hello& said) { said.bytes = UINT64_MAX; }));
    EXPECT_TRUE(refused([](Hello& said) { said.bytes = 0; }));
    EXPECT_TRUE(refused([](Hello& said) { said.least_block = 0; }));
    EXPECT_TRUE(refused([](Hello& said) { said.least_block = 8192; }));
    EXPECT_TRUE(refused([](Hello& said) { said.most_data = slot_bytes * 2; }));
    EXPECT_TRUE(refused([](Hello& said) { said.most_data = 0; }));
    EXPECT_TRUE(refused([](Hello& said) { said.flags = 1 << 20; }));
    EXPECT_TRUE(refused([](Hello& said) { said.version++; }));
}

} // namespace
