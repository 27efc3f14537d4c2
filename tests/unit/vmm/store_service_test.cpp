// SPDX-License-Identifier: Apache-2.0
#include "vmm/store_service.hpp"

#include "iorings/xenstore/domain_tree.hpp"
#include "pv-abi/xenstore.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <string_view>
#include <thread>

namespace parapet::vmm {
namespace {

using namespace std::chrono_literals;

struct Guest {
    Guest() {
        connection.set_output_listener([this] { service.pump(); });
    }
    abi::xenstore_domain_interface& shared() { return *reinterpret_cast<abi::xenstore_domain_interface*>(page.data()); }
    /// Writes and does not signal.
    void put(const void* data, std::size_t length) {
        std::memcpy(shared().req + shared().req_prod, data, length);
        shared().req_prod += static_cast<std::uint32_t>(length);
    }
    void run() {
        io.restart();
        io.run_for(10s); // it has nothing more to do long before
    }

    boost::asio::io_context io{1};
    xenstore::Store store;
    xenstore::Connection connection{store, xenstore::DomId{1}};
    alignas(4096) std::array<char, 4096> page{};
    xenstore::RingTransport ring{connection, page.data()};
    int signals = 0;
    StoreService service{io, ring, [this] { ++signals; }};
};

TEST(StoreService, FindsTheRestOfAMessageWhoseSignalWasLost) {
    Guest guest;
    constexpr std::string_view domid{"1", 2};
    constexpr std::size_t answer = sizeof("/local/domain/1");
    const abi::xsd_sockmsg header{.type = abi::XS_GET_DOMAIN_PATH, .req_id = 7, .tx_id = 0, .len = domid.size()};
    guest.put(&header, sizeof(header));
    guest.service.pump();
    EXPECT_EQ(guest.shared().req_cons, sizeof(header));
    EXPECT_EQ(guest.shared().rsp_prod, 0u);
    guest.put(domid.data(), domid.size()); // it saw req_cons as it was before the host took the header: no signal
    guest.run();
    EXPECT_EQ(guest.shared().req_cons, guest.shared().req_prod);
    EXPECT_EQ(guest.shared().rsp_prod, sizeof(header) + answer);
    EXPECT_EQ(guest.signals, 2);
}

TEST(StoreService, AGuestThatKeepsItBusyDoesNotFillTheQueue) {
    Guest guest;
    std::atomic<bool> over{false};
    std::thread other{[&] {
        const std::atomic_ref state{guest.shared().connection};
        while (!over) {
            state.store(abi::XENSTORE_RECONNECT);
        }
    }};
    std::this_thread::sleep_for(10ms);
    for (unsigned i = 0; i < 1000; i++) {
        guest.service.pump(); // as it would for each signal
    }
    over = true;
    other.join();
    EXPECT_LT(guest.io.poll(), 10u);
}

TEST(StoreService, LooksALittleLaterAtWhatMovedLast) {
    Guest guest;
    constexpr std::string_view domid{"1", 2};
    const abi::xsd_sockmsg header{.type = abi::XS_GET_DOMAIN_PATH, .req_id = 7, .tx_id = 0, .len = domid.size()};
    guest.put(&header, sizeof(header));
    guest.service.pump(); // a look is due from here
    guest.put(domid.data(), domid.size());
    guest.service.pump(); // this moved just before it
    guest.io.restart();
    EXPECT_EQ(guest.io.run_one_for(10s), 1u);
    EXPECT_FALSE(guest.io.stopped()) << "no look after what moved last";
    guest.put(&header, sizeof(header));
    guest.put(domid.data(), domid.size()); // without a signal
    guest.run();
    EXPECT_EQ(guest.shared().req_cons, guest.shared().req_prod);
}

TEST(StoreService, IsQuietWhenNothingMoves) {
    Guest guest;
    guest.service.pump();
    EXPECT_EQ(guest.io.poll(), 0u);
    EXPECT_TRUE(guest.io.stopped()) << "something is still waited for";
    EXPECT_EQ(guest.signals, 0);
}

} // namespace
} // namespace parapet::vmm
