// SPDX-License-Identifier: Apache-2.0
// The ring page: round trips, wrapping indices, hostile indices, reconnecting.
#include "client.hpp"
#include "iorings/xenstore/ring_transport.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <random>
#include <thread>
#include <utility>

namespace parapet::xenstore::test {
namespace {

using abi::xenstore_domain_interface;

/// The guest's side of the ring.
struct Ring {
    explicit Ring(World& w)
        : world{w}, transport{w.client.connection, page.data(), [this](std::string_view text) { log += text; }} {}

    [[nodiscard]] xenstore_domain_interface& shared() {
        return *reinterpret_cast<xenstore_domain_interface*>(page.data());
    }

    /// Puts what fits; says how much.
    std::size_t put(std::string_view bytes) {
        auto& ring = shared();
        std::size_t done = 0;
        while (done < bytes.size() && ring.req_prod - ring.req_cons < 1024)
            ring.req[ring.req_prod++ % 1024] = bytes[done++];
        return done;
    }

    void take() {
        auto& ring = shared();
        for (int i = 0; i < 1024 && ring.rsp_cons != ring.rsp_prod; ++i)
            stream.push_back(ring.rsp[ring.rsp_cons++ % 1024]);
    }

    /// Sends all, reads all.
    std::vector<Message> exchange(std::string_view bytes) {
        for (int idle = 0; idle < 3;) {
            const auto sent = put(bytes);
            bytes.remove_prefix(sent);
            const auto result = transport.pump();
            take();
            idle = sent == 0 && !result.notify ? idle + 1 : 0;
        }
        return decode(stream);
    }

    World& world;
    alignas(4096) std::array<char, 4096> page{};
    std::string log;
    std::string stream;
    RingTransport transport;
};

TEST(Ring, AnnouncesWhatItCanDo) {
    World w;
    Ring ring{w};
    EXPECT_EQ(ring.shared().server_features, 3u);
    EXPECT_EQ(ring.shared().connection, 0u);
    EXPECT_EQ(ring.shared().error, 0u);
}

TEST(Ring, NothingToDoIsSilent) {
    World w;
    Ring ring{w};
    const auto result = ring.transport.pump();
    EXPECT_FALSE(result.notify);
    EXPECT_FALSE(result.again);
}

TEST(Ring, RoundTrip) {
    World w;
    Ring ring{w};
    ring.put(encode(abi::XS_WRITE, nul({"own/a"}) + "hello"));
    EXPECT_TRUE(ring.transport.pump().notify);
    ring.take();
    auto messages = decode(ring.stream);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].payload, nul({"OK"}));
    EXPECT_EQ(ring.shared().req_cons, ring.shared().req_prod);
    EXPECT_EQ(w.store.read("/local/domain/1/own/a").value(), "hello");
}

TEST(Ring, MessagesLargerThanTheRingAndWrapping) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/1/long", std::string(4096, 'L')).ok());
    Ring ring{w};
    for (int i = 0; i < 50; ++i) {
        const std::string value(2000, static_cast<char>('a' + i % 26));
        auto messages = ring.exchange(encode(abi::XS_WRITE, nul({"own/a"}) + value) +
                                      encode(abi::XS_READ, nul({"own/a"})) + encode(abi::XS_READ, nul({"long"})));
        ASSERT_EQ(messages.size(), 3u);
        EXPECT_EQ(messages[1].payload, value);
        EXPECT_EQ(messages[2].payload, std::string(4096, 'L'));
    }
    EXPECT_TRUE(ring.log.empty());
}

TEST(Ring, FullRingWaitsForTheReader) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/1/long", std::string(4096, 'L')).ok());
    Ring ring{w};
    ring.put(encode(abi::XS_READ, nul({"long"})));
    EXPECT_TRUE(ring.transport.pump().notify);
    EXPECT_EQ(ring.shared().rsp_prod, 1024u);
    EXPECT_FALSE(ring.transport.pump().notify);
    ring.take();
    EXPECT_TRUE(ring.transport.pump().notify);
}

TEST(Ring, AGuestThatNeverReadsCannotFillTheHost) {
    World w;
    Ring ring{w};
    const auto request = encode(abi::XS_DIRECTORY, nul({"/local/domain/1"}));
    std::size_t sent = 0;
    for (int i = 0; i < 5000; ++i) {
        sent += ring.put(request);
        (void)ring.transport.pump();
    }
    EXPECT_LT(sent, 4096u);
    EXPECT_LT(w.client.connection.queued_bytes(), 2048u);
    EXPECT_FALSE(ring.transport.broken());
}

TEST(Ring, HostWritesReachTheGuestThroughTheListener) {
    World w;
    Ring ring{w};
    (void)ring.exchange(encode(abi::XS_WATCH, nul({"own", "t"})));
    int signals = 0;
    w.client.connection.set_output_listener([&] { signals += ring.transport.pump().notify; });
    ASSERT_TRUE(w.store.write("/local/domain/1/own/a", "x").ok());
    EXPECT_EQ(signals, 1);
    ring.take();
    EXPECT_EQ(decode(ring.stream).size(), 1u);
}

TEST(Ring, ImpossibleRequestIndex) {
    for (const std::uint32_t index : {1025u, 2048u, 0x80000000u, 0xffffffffu}) {
        World w;
        Ring ring{w};
        (void)ring.exchange(encode(abi::XS_WATCH, nul({"own", "t"})));
        ring.shared().req_prod = ring.shared().req_cons + index;
        const auto cons = ring.shared().req_cons;
        const auto result = ring.transport.pump();
        EXPECT_TRUE(result.notify);
        EXPECT_FALSE(result.again);
        EXPECT_TRUE(ring.transport.broken());
        EXPECT_EQ(ring.shared().error, 2u);
        EXPECT_EQ(ring.shared().req_cons, cons);
        EXPECT_NE(ring.log.find("request index"), std::string::npos);
        EXPECT_EQ(w.store.watches().count(w.client.connection), 0u);
        ring.log.clear();
        EXPECT_FALSE(ring.transport.pump().notify);
        EXPECT_TRUE(ring.log.empty()) << "said once";
    }
}

TEST(Ring, ImpossibleReplyIndex) {
    for (const std::uint32_t index : {1u, 0x80000000u, 0xfffffbffu - 1024u}) {
        World w;
        Ring ring{w};
        (void)ring.exchange(encode(abi::XS_READ, nul({"own"})));
        ring.shared().rsp_cons = ring.shared().rsp_prod + index;
        (void)ring.transport.pump();
        EXPECT_TRUE(ring.transport.broken()) << index;
        EXPECT_EQ(ring.shared().error, 2u);
    }
}

TEST(Ring, HostOwnedWordsAreNeverBelieved) {
    World w;
    Ring ring{w};
    (void)ring.exchange(encode(abi::XS_READ, nul({"own"})));
    const auto cons = ring.shared().req_cons;
    const auto prod = ring.shared().rsp_prod;
    ring.shared().req_cons = 0xdeadbeef;
    ring.shared().rsp_prod = 0xdeadbeef;
    ring.shared().server_features = 0;
    const auto request = encode(abi::XS_WRITE, nul({"own/a"}) + "x");
    for (const char byte : request)
        ring.shared().req[ring.shared().req_prod++ % 1024] = byte;
    EXPECT_TRUE(ring.transport.pump().notify);
    EXPECT_EQ(ring.shared().req_cons, cons + request.size());
    EXPECT_EQ(ring.shared().rsp_prod, prod + 16 + 3);
    EXPECT_EQ(w.store.read("/local/domain/1/own/a").value(), "x");
}

TEST(Ring, OverlongMessageStopsIt) {
    World w;
    Ring ring{w};
    const abi::xsd_sockmsg header{abi::XS_READ, 0, 0, 4097};
    ring.put({reinterpret_cast<const char*>(&header), sizeof header});
    EXPECT_TRUE(ring.transport.pump().notify);
    EXPECT_TRUE(ring.transport.broken());
    EXPECT_EQ(ring.shared().error, 3u);
}

TEST(Ring, ReconnectsFromAnyState) {
    World w;
    Ring ring{w};
    (void)ring.exchange(encode(abi::XS_WATCH, nul({"own", "t"})));
    ring.put(encode(abi::XS_READ, nul({"own"})).substr(0, 11)); // a partial request
    (void)ring.transport.pump();
    for (const bool break_it : {false, true}) {
        if (break_it)
            ring.shared().req_prod += 5000;
        (void)ring.transport.pump();
        EXPECT_EQ(ring.transport.broken(), break_it);
        ring.shared().req_prod = 123; // ignored while reconnecting
        ring.shared().rsp_cons = 456;
        ring.shared().connection = 1;
        EXPECT_TRUE(ring.transport.pump().notify);
        EXPECT_FALSE(ring.transport.broken());
        EXPECT_EQ(ring.shared().connection, 0u);
        EXPECT_EQ(ring.shared().error, 0u);
        EXPECT_EQ(ring.shared().req_prod, ring.shared().req_cons);
        EXPECT_EQ(ring.shared().rsp_prod, ring.shared().rsp_cons);
        ASSERT_TRUE(w.store.write("/local/domain/1/own", "x").ok());
        ring.stream.clear();
        auto messages = ring.exchange(encode(abi::XS_READ, nul({"own"})));
        ASSERT_EQ(messages.size(), 1u) << "no event: the watch is gone";
        EXPECT_EQ(messages[0].payload, "x");
    }
}

// Linux does not signal for a request that it adds before the host has taken the ones before.
TEST(Ring, RequestsAddedMeanwhileAreServedWithoutASignal) {
    World w;
    Ring ring{w};
    bool added = false;
    const auto id = w.store.watch("/local/domain/1/own/a", [&](const std::string& path) {
        if (w.store.exists(path) && !std::exchange(added, true)) // inside pump(), before it publishes req_cons
            ring.put(encode(abi::XS_WRITE, nul({"own/b"}) + "2"));
    });
    ASSERT_TRUE(id.ok());
    ring.put(encode(abi::XS_WRITE, nul({"own/a"}) + "1"));
    const auto result = ring.transport.pump();
    EXPECT_TRUE(result.notify);
    EXPECT_FALSE(result.again);
    EXPECT_TRUE(added);
    EXPECT_EQ(w.store.read("/local/domain/1/own/b").value(), "2");
}

TEST(Ring, APumpIsBoundedAndSaysThatMoreIsToDo) {
    World w;
    Ring ring{w};
    const auto id = w.store.watch("/local/domain/1/own/a", [&](const std::string&) {
        ring.take(); // a guest that adds a request for each one served
        ring.put(encode(abi::XS_WRITE, nul({"own/a"}) + "1"));
    });
    ASSERT_TRUE(id.ok());
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(ring.transport.pump().again);
    w.store.unwatch(*id);
    EXPECT_FALSE(ring.transport.pump().again);
    EXPECT_EQ(ring.shared().req_cons, ring.shared().req_prod);
}

// A guest on another processor, which signals only when Linux would, and a host that pumps only on signals.
TEST(Ring, NoSignalIsLostAgainstABusyGuest) {
    World w;
    ASSERT_TRUE(w.store.write("/local/domain/1/own", std::string(40, 'v')).ok());
    Ring ring{w};
    auto& shared = ring.shared();
    std::atomic<unsigned> to_host{0};
    std::atomic<bool> done{false};
    std::size_t received = 0;
    const std::string request = encode(abi::XS_READ, nul({"own"}));
    constexpr std::size_t total = 5000;
    constexpr std::size_t reply_bytes = total * (16 + 40);

    std::thread guest_cpu{[&] {
        std::uint32_t req_prod = 0;
        std::uint32_t rsp_cons = 0;
        std::size_t at = 0;
        std::size_t sent = 0;
        while (received < reply_bytes && !done) {
            const std::uint32_t cons = std::atomic_ref{shared.req_cons}.load();
            const std::uint32_t old = req_prod;
            while (sent < total && req_prod - cons < 1024) {
                std::atomic_ref{shared.req[req_prod++ % 1024]}.store(request[at++], std::memory_order_relaxed);
                if (at == request.size()) {
                    at = 0;
                    ++sent;
                }
            }
            if (req_prod != old) {
                std::atomic_ref{shared.req_prod}.store(req_prod);
                if (std::atomic_ref{shared.req_cons}.load() == old)
                    ++to_host;
            }
            const std::uint32_t prod = std::atomic_ref{shared.rsp_prod}.load();
            if (prod != rsp_cons) {
                const std::uint32_t before = rsp_cons;
                for (; rsp_cons != prod; ++rsp_cons)
                    ++received;
                std::atomic_ref{shared.rsp_cons}.store(rsp_cons);
                if (std::atomic_ref{shared.rsp_prod}.load() - before >= 1024)
                    ++to_host;
            }
        }
        done = true;
    }};
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    bool again = false;
    for (unsigned seen = 0; !done;) {
        const unsigned now = to_host;
        if (now != seen || again) {
            seen = now;
            again = ring.transport.pump().again;
        } else {
            std::this_thread::yield();
        }
        if (std::chrono::steady_clock::now() > give_up)
            done = true;
    }
    guest_cpu.join();
    EXPECT_EQ(received, reply_bytes);
    EXPECT_TRUE(ring.log.empty()) << ring.log;
}

TEST(Ring, ScribblingGuestNeverHarms) {
    std::mt19937 engine{42};
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    for (int run = 0; run < 300; ++run) {
        World w;
        Ring ring{w};
        for (int i = 0; i < 60; ++i) {
            switch (random() % 6) {
            case 0:
                ring.put(encode(random() % 25, nul({"own/a", "t"}), random() % 3));
                break;
            case 1: {
                const std::uint32_t words[] = {random() % 2048, random(), 0u, 1u};
                const auto where = 2048 + 4 * (random() % 7);
                std::memcpy(ring.page.data() + where, &words[random() % 4], 4);
                break;
            }
            case 2:
                ring.page[random() % 4096] = static_cast<char>(random());
                break;
            case 3:
                ring.take();
                ring.stream.clear();
                break;
            case 4:
                ring.shared().connection = 1;
                break;
            default:
                (void)ring.transport.pump();
            }
            EXPECT_LE(w.client.connection.queued_bytes(), 200000u);
        }
        ring.shared().connection = 1;
        (void)ring.transport.pump();
        ring.stream.clear();
        const auto messages = ring.exchange(encode(abi::XS_READ, nul({"own"})));
        ASSERT_EQ(messages.size(), 1u);
    }
}

} // namespace
} // namespace parapet::xenstore::test
