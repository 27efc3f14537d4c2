// SPDX-License-Identifier: Apache-2.0
// Framing: fragments, malformed headers, clients that do not read.
#include "client.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}

std::string drain(Connection& connection) {
    std::string stream;
    for (auto output = connection.output(); !output.empty(); output = connection.output()) {
        stream.append(reinterpret_cast<const char*>(output.data()), output.size());
        connection.consume_output(output.size());
    }
    return stream;
}

TEST(Connection, EveryWayOfCuttingInTwo) {
    const std::string requests =
        encode(abi::XS_WRITE, nul({"own/a"}) + "v") + encode(abi::XS_WATCH, nul({"own", "t"})) +
        encode(abi::XS_GET_DOMAIN_PATH, nul({"1"})) + encode(abi::XS_READ, "") + encode(abi::XS_READ, nul({"own/a"}));
    std::string expected;
    {
        World w;
        w.client.connection.feed(bytes_of(requests));
        expected = drain(w.client.connection);
    }
    ASSERT_FALSE(expected.empty());
    for (std::size_t cut = 0; cut <= requests.size(); ++cut) {
        World w;
        w.client.connection.feed(bytes_of(std::string_view{requests}.substr(0, cut)));
        w.client.connection.feed(bytes_of(std::string_view{requests}.substr(cut)));
        EXPECT_EQ(drain(w.client.connection), expected) << cut;
    }
    World w;
    for (const char byte : requests)
        EXPECT_EQ(w.client.connection.feed(bytes_of({&byte, 1})), 1u);
    std::string one_by_one;
    while (!w.client.connection.output().empty()) {
        one_by_one.push_back(static_cast<char>(w.client.connection.output().front()));
        w.client.connection.consume_output(1);
    }
    EXPECT_EQ(one_by_one, expected);
}

TEST(Connection, LargestPayload) {
    World w;
    EXPECT_EQ(w.client.call(abi::XS_WRITE, nul({"own/a"}) + std::string(4090, 'x')), "!ENOSPC");
    EXPECT_EQ(w.client.call(abi::XS_READ, std::string(4096, 'x')), "!EINVAL");
    EXPECT_FALSE(w.client.connection.broken());
}

TEST(Connection, OverlongPayloadBreaksIt) {
    for (const std::uint32_t length : {4097u, 0x7fffffffu, 0xffffffffu, 0xfffffff0u}) {
        World w;
        w.client.watch("own", "t");
        const auto tx = w.client.start();
        abi::xsd_sockmsg header{abi::XS_WRITE, 1, 0, length};
        std::string raw(sizeof header, '\0');
        std::memcpy(raw.data(), &header, sizeof header);
        w.client.send(raw + "xxxx");
        EXPECT_TRUE(w.client.connection.broken());
        EXPECT_TRUE(w.client.connection.output().empty());
        EXPECT_EQ(w.client.connection.feed(bytes_of(encode(abi::XS_READ, nul({"own"})))), 0u);
        ASSERT_TRUE(w.store.write("/local/domain/1/own", "x").ok());
        EXPECT_TRUE(w.client.connection.output().empty()) << "no events either";
        w.client.connection.reset();
        w.client.order.clear();
        w.client.stream.clear();
        EXPECT_EQ(w.client.read("own"), "x");
        EXPECT_EQ(w.client.end(tx), "!ENOENT");
    }
}

TEST(Connection, ResetDropsAPartialRequest) {
    World w;
    const auto request = encode(abi::XS_READ, nul({"own"}));
    w.client.connection.feed(bytes_of(std::string_view{request}.substr(0, 10)));
    w.client.connection.reset();
    EXPECT_EQ(w.client.read("own"), "");
}

TEST(Connection, UnreadRepliesStopRequests) {
    World w;
    const auto request = encode(abi::XS_READ, nul({"own"}));
    std::size_t taken = 0;
    for (int i = 0; i < 10000; ++i)
        taken += w.client.connection.feed(bytes_of(request));
    EXPECT_EQ(taken, 20 * request.size());
    EXPECT_LT(w.client.connection.queued_bytes(), 1000u);
    w.client.connection.consume_output(w.client.connection.output().size());
    EXPECT_EQ(w.client.connection.feed(bytes_of(request)), request.size()) << "one read, one more taken";
    EXPECT_EQ(w.client.connection.feed(bytes_of(request)), 0u);
}

TEST(Connection, UnreadEventsAreNotQueuedTwice) {
    World w;
    w.client.watch("own", "t");
    w.client.events();
    for (int i = 0; i < 1000; ++i)
        ASSERT_TRUE(w.store.write("/local/domain/1/own/a", std::to_string(i)).ok());
    EXPECT_EQ(w.client.events(), std::vector<std::string>{"own/a t"});
}

TEST(Connection, EventBeingSentIsNotTakenForTheNextOne) {
    World w;
    w.client.watch("own", "t");
    w.client.events();
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "1").ok());
    const char first = static_cast<char>(w.client.connection.output().front());
    w.client.connection.consume_output(1);
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "2").ok());
    w.client.stream.assign(1, first);
    EXPECT_EQ(w.client.events(), (std::vector<std::string>{"own/a t", "own/a t"}));
}

TEST(Connection, EventsBeyondTheLimitMergeIntoOnePerWatch) {
    World w;
    w.client.watch("own", "t");
    w.client.watch("own", "u");
    w.client.events();
    for (int i = 0; i < 5000; ++i)
        ASSERT_TRUE(w.store.write("/local/domain/1/own/" + std::to_string(i % 900), "").ok());
    EXPECT_LE(w.client.connection.queued_bytes(), Quotas{}.event_bytes_queued);
    const auto events = w.client.events();
    ASSERT_EQ(events.size(), Quotas{}.events_queued + 2);
    EXPECT_EQ(events[events.size() - 2], "own t");
    EXPECT_EQ(events.back(), "own u");
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "").ok());
    EXPECT_EQ(w.client.events(), (std::vector<std::string>{"own/a t", "own/a u"})) << "normal again";
}

TEST(Connection, LongEventsAreLimitedInBytes) {
    World w;
    w.client.watch("own", std::string(1500, 't'));
    w.client.events();
    for (int i = 0; i < 400; ++i)
        ASSERT_TRUE(w.store.write("/local/domain/1/own/" + std::to_string(i), "").ok());
    EXPECT_LE(w.client.connection.queued_bytes(), Quotas{}.event_bytes_queued);
    EXPECT_FALSE(w.client.events().empty());
    EXPECT_EQ(w.client.connection.queued_bytes(), 0u);
}

TEST(Connection, ListenerHearsOfOutputAtRest) {
    World w;
    int calls = 0;
    w.client.connection.set_output_listener([&] {
        ++calls;
        w.client.receive();
        EXPECT_EQ(w.client.write("own/from-listener", ""), "OK") << "it may feed at once";
    });
    w.client.watch("own/a", "t");
    w.client.events();
    EXPECT_EQ(calls, 0) << "what feed() gives rise to is the feeder's";
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "x").ok());
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(w.client.events(), std::vector<std::string>{"own/a t"});
}

TEST(Connection, HostCallbackThatFeedsIsIgnored) {
    World w;
    std::size_t taken = 99;
    ASSERT_TRUE(w.store
                    .watch("/local/domain/1/own",
                           [&](const std::string&) {
                               taken = w.client.connection.feed(bytes_of(encode(abi::XS_READ, nul({"own"}))));
                               EXPECT_TRUE(w.client.connection.output().empty() || taken != 0);
                           })
                    .ok());
    w.client.receive();
    w.client.order.clear();
    EXPECT_EQ(w.client.write("own", "x"), "OK");
    EXPECT_EQ(taken, 0u);
}

} // namespace
} // namespace parapet::xenstore::test
