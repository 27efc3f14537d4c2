// SPDX-License-Identifier: Apache-2.0
// A guest with a network frontend, for tests: memory and grants in an array, rings that the test drives, the real I/O
// thread, and a control thread that the test plays.
#pragma once

#include "backends/net/net_backend.hpp"
#include "iorings/xenstore/store.hpp"
#include "pv-abi/netif.hpp"
#include "tests/unit/grants/fake_guest.hpp"

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/eventfd.h>
#include <vector>

namespace parapet::net::test {

using Bytes = std::vector<std::byte>;

/// Waits on the control thread's behalf.
template <typename Condition>
bool eventually(boost::asio::io_context& control, Condition condition,
                std::chrono::milliseconds limit = std::chrono::seconds{10}) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        control.restart();
        control.run_for(std::chrono::milliseconds{1});
    }
    return true;
}

/// One ring from the frontend's side: slots of SlotSize bytes in one page.
template <typename Request, typename Response>
class FrontRing {
public:
    static constexpr std::uint32_t slots = (4096 - 64) / std::max(sizeof(Request), sizeof(Response)) >= 256 ? 256 : 0;
    static_assert(slots == 256);
    explicit FrontRing(std::byte* page) : page_{page} { clear(); }
    void clear() {
        std::memset(page_, 0, 4096);
        word(4).store(1);
        word(12).store(1);
        produced_ = consumed_ = 0;
    }
    template <typename T>
    void put(const T& request) {
        std::memcpy(slot(produced_++), &request, sizeof(T));
    }
    /// Shows the backend what was put. True: it wants an event.
    bool push() {
        const std::uint32_t before = word(0).load();
        word(0).store(produced_, std::memory_order_release);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return produced_ - word(4).load() < produced_ - before;
    }
    [[nodiscard]] std::uint32_t answered() const { return word(8).load(std::memory_order_acquire) - consumed_; }
    template <typename T = Response>
    T take() {
        T response;
        std::memcpy(&response, slot(consumed_++), sizeof(T));
        return response;
    }
    [[nodiscard]] std::atomic_ref<std::uint32_t> word(std::size_t offset) const {
        return std::atomic_ref{*reinterpret_cast<std::uint32_t*>(page_ + offset)};
    }
    [[nodiscard]] std::uint32_t produced() const { return produced_; }
    [[nodiscard]] std::uint32_t consumed() const { return consumed_; }

private:
    [[nodiscard]] std::byte* slot(std::uint32_t index) const {
        return page_ + 64 + (index % slots) * std::max(sizeof(Request), sizeof(Response));
    }
    std::byte* page_;
    std::uint32_t produced_ = 0, consumed_ = 0;
};
using FrontTx = FrontRing<abi::netif_tx_request, abi::netif_tx_response>;
using FrontRx = FrontRing<abi::netif_rx_request, abi::netif_rx_response>;

/// A frame that the guest has received.
struct GuestFrame {
    Bytes bytes;
    unsigned flags = 0; ///< of the first response
    std::optional<abi::netif_extra_info> extra;
};

class NetGuest {
public:
    // Frames and references: 128, 129 … rings of queue 0, 1; from 140 on transmit buffers; from 1024 … receive buffers.
    static constexpr std::uint64_t rings_mfn = 128, tx_mfn = 144, rx_mfn = 176;
    static constexpr unsigned tx_buffers = 32, rx_buffers = 80;

    NetGuest(Endpoint& endpoint, const VifSpec& spec) {
        memory.grow(2);
        for (std::uint64_t mfn = grants::test::FakeGuest::domain_first; mfn < grants::test::FakeGuest::low_end; ++mfn) {
            memory.grant(static_cast<std::uint32_t>(mfn), mfn);
        }
        auto made = io::IoThread::create(256);
        EXPECT_TRUE(made.ok());
        io = *std::move(made);
        io::IoThread::Life life;
        life.doorbell = doorbell.get();
        life.interrupt = interrupt.get();
        life.take_ports = [this](const std::function<void(std::uint32_t)>& call) {
            const std::uint64_t taken = kicked.exchange(0);
            for (std::uint32_t port = 0; port < 64; ++port) {
                if ((taken >> port & 1) != 0) {
                    call(port);
                }
            }
        };
        life.mark_port = [this](std::uint32_t port) { notified[port % 64]++; };
        life.memory = memory.frames;
        io->begin(std::move(life));
        backend = std::make_unique<NetBackend>(
            devices::BackendContext{*io, grants, control, [this](std::string_view line) { log.emplace_back(line); }},
            spec, 0, endpoint);
        backend->publish = [this](const xenbus::Nodes& nodes) {
            for (const auto& [name, value] : nodes) {
                published[name] = value;
            }
        };
        backend->fail = [this](const std::string& why) { failures.push_back(why); };
        node("request-rx-copy", "1");
        node("feature-rx-notify", "1");
        node("feature-sg", "1");
        node("feature-gso-tcpv4", "1");
        node("feature-gso-tcpv6", "1");
        node("feature-ipv6-csum-offload", "1");
    }
    ~NetGuest() {
        backend.reset();
        EXPECT_EQ(grants.in_use(), 0u);
        io->end();
        io.reset();
    }
    NetGuest(const NetGuest&) = delete;
    NetGuest& operator=(const NetGuest&) = delete;

    void node(const std::string& name, const std::string& value) {
        ASSERT_TRUE(store.write(front + '/' + name, value));
    }
    void no_node(const std::string& name) { ASSERT_TRUE(store.rm(front + '/' + name)); }
    void one_queue() {
        node("tx-ring-ref", std::to_string(rings_mfn));
        node("rx-ring-ref", std::to_string(rings_mfn + 1));
        node("event-channel", "9");
    }
    Result<xenbus::Nodes> try_connect() { return backend->connect(xenbus::FrontendNodes{store, front}); }
    /// With one queue and one event channel.
    void connect() {
        one_queue();
        const auto connected = try_connect();
        ASSERT_TRUE(connected.ok()) << connected.error().message;
    }
    void disconnect() {
        bool done = false;
        backend->disconnect([&] { done = true; });
        ASSERT_TRUE(eventually(control, [&] { return done; }));
        EXPECT_EQ(grants.in_use(), 0u);
    }
    void kick(std::uint32_t port = 9) {
        kicked |= std::uint64_t{1} << port;
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(doorbell.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
    }

    // Transmit. Buffer i is frame tx_mfn + i, granted under the same number.

    std::byte* tx_page(unsigned buffer) { return memory.frames.frame(tx_mfn + buffer); }
    static abi::netif_tx_request tx_request(unsigned buffer, std::size_t size, unsigned flags = 0,
                                            unsigned offset = 0) {
        return {static_cast<std::uint32_t>(tx_mfn + buffer), static_cast<std::uint16_t>(offset),
                static_cast<std::uint16_t>(flags), static_cast<std::uint16_t>(buffer),
                static_cast<std::uint16_t>(size)};
    }
    /// Puts a frame into buffers from `first` on, `piece` bytes in each.
    void put_frame(const Bytes& bytes, unsigned flags = 0, std::optional<abi::netif_extra_info> extra = std::nullopt,
                   std::size_t piece = 4096, unsigned first = 0) {
        unsigned buffer = first;
        for (std::size_t at = 0; at < bytes.size(); at += piece, ++buffer) {
            const std::size_t part = std::min(piece, bytes.size() - at);
            std::memcpy(tx_page(buffer), &bytes[at], part);
            unsigned more = at + part < bytes.size() ? abi::NETTXF_more_data : 0;
            more |= at == 0 ? flags | (extra ? abi::NETTXF_extra_info : 0) : 0;
            tx.put(tx_request(buffer, at == 0 ? bytes.size() : part, more));
            if (at == 0 && extra) {
                tx.put(*extra);
            }
        }
    }
    void push_tx(std::uint32_t port = 9) {
        if (tx.push()) {
            kick(port);
        }
    }
    /// Waits for so many answers and gives their status.
    std::vector<int> tx_answers(unsigned count) {
        EXPECT_TRUE(eventually(control, [&] { return tx.answered() >= count; })) << tx.answered() << " of " << count;
        std::vector<int> status;
        while (tx.answered() != 0) {
            status.push_back(tx.take().status);
        }
        return status;
    }
    bool stopped() {
        return eventually(control, [&] { return !failures.empty(); });
    }

    // Receive. Buffer i is frame rx_mfn + i.

    std::byte* rx_page(unsigned buffer) { return memory.frames.frame(rx_mfn + buffer); }
    /// Offers the next `count` buffers.
    void offer(unsigned count, std::uint32_t port = 9) {
        for (unsigned i = 0; i < count; ++i) {
            const unsigned buffer = offered++ % rx_buffers;
            rx.put(abi::netif_rx_request{static_cast<std::uint16_t>(buffer), 0,
                                         static_cast<std::uint32_t>(rx_mfn + buffer)});
        }
        if (rx.push()) {
            kick(port);
        }
    }
    /// Waits for a frame. Checks what netfront relies on: each answer is in its request's slot.
    GuestFrame frame() {
        GuestFrame got;
        bool more = true;
        for (unsigned fragment = 0; more; ++fragment) {
            if (!eventually(control, [&] { return rx.answered() != 0; })) {
                ADD_FAILURE() << "no frame";
                break;
            }
            const unsigned expected = rx.consumed() % rx_buffers;
            const auto response = rx.take();
            EXPECT_EQ(response.id, expected);
            EXPECT_GE(response.status, 0);
            const std::byte* page = rx_page(response.id % rx_buffers) + response.offset;
            got.bytes.insert(got.bytes.end(), page, page + std::max<int>(response.status, 0));
            more = (response.flags & abi::NETRXF_more_data) != 0;
            if (fragment == 0) {
                got.flags = response.flags;
                if ((response.flags & abi::NETRXF_extra_info) != 0) {
                    EXPECT_GE(rx.answered(), 1u);
                    got.extra = rx.take<abi::netif_extra_info>();
                }
            }
        }
        return got;
    }

    grants::test::FakeGuest memory;
    grants::HostGrants grants{memory.frames,          *memory.mailbox, memory.frame_table.data(),
                              memory.host_use.data(), memory.max_mfn,  memory.domain_first};
    UniqueFd doorbell{::eventfd(0, EFD_NONBLOCK)}, interrupt{::eventfd(0, EFD_NONBLOCK)};
    std::atomic<std::uint64_t> kicked{0};
    std::array<std::atomic<unsigned>, 64> notified{};
    std::unique_ptr<io::IoThread> io;
    boost::asio::io_context control;
    xenstore::Store store;
    const std::string front = "/local/domain/1/device/vif/0";
    std::vector<std::string> log, failures;
    std::map<std::string, std::string> published;
    FrontTx tx{memory.frames.frame(rings_mfn)};
    FrontRx rx{memory.frames.frame(rings_mfn + 1)};
    unsigned offered = 0;
    std::unique_ptr<NetBackend> backend;
};

} // namespace parapet::net::test
