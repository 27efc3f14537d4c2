// SPDX-License-Identifier: Apache-2.0
#include "vmm/port_mailbox.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace parapet::vmm {
namespace {

using doorbell::MAX_PORTS;

class PortMailboxTest : public testing::Test {
protected:
    std::uint64_t interrupts() {
        std::uint64_t count = 0;
        return ::read(event_.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
    }
    std::vector<std::uint32_t> taken() {
        std::vector<std::uint32_t> ports;
        ports_.take([&](std::uint32_t port) { ports.push_back(port); });
        return ports;
    }
    void guest_sets(std::uint32_t port) {
        std::atomic_ref{mailbox_->to_vmm.word[port / 64]}.fetch_or(1ULL << port % 64);
        std::atomic_ref{mailbox_->to_vmm.selector}.fetch_or(1ULL << port / 64 % 64);
    }
    std::unique_ptr<doorbell::Mailbox> mailbox_ = std::make_unique<doorbell::Mailbox>();
    UniqueFd event_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    PortMailbox ports_{*mailbox_, event_.get()};
};

TEST_F(PortMailboxTest, NotifySetsBothLevelsAndInterrupts) {
    ports_.notify(0);
    ports_.notify(MAX_PORTS - 1);
    EXPECT_EQ(mailbox_->to_nucleus.selector, 1ULL | 1ULL << 63);
    EXPECT_EQ(mailbox_->to_nucleus.word[0], 1U);
    EXPECT_EQ(mailbox_->to_nucleus.word[MAX_PORTS / 64 - 1], 1ULL << 63);
    EXPECT_EQ(interrupts(), 2U);
}

TEST_F(PortMailboxTest, PortOutOfRangeDoesNothing) {
    ports_.notify(MAX_PORTS);
    ports_.notify(~0U);
    EXPECT_EQ(mailbox_->to_nucleus.selector, 0U);
    EXPECT_EQ(interrupts(), 0U);
}

TEST_F(PortMailboxTest, EachPortIsTakenOnce) {
    for (const std::uint32_t port : {0U, 63U, 64U, 4095U}) {
        guest_sets(port);
    }
    EXPECT_EQ(taken(), (std::vector<std::uint32_t>{0, 63, 64, 4095}));
    EXPECT_TRUE(taken().empty());
}

/// Words share a bit of the selector; the nucleus says how many are in use. Its word is not trusted.
TEST_F(PortMailboxTest, PortsOfTheFifoAbi) {
    guest_sets(5);
    guest_sets(4096 + 5);
    guest_sets(MAX_PORTS - 1);
    mailbox_->port_rows = 2;
    EXPECT_EQ(taken(), (std::vector<std::uint32_t>{5, 4096 + 5}));
    mailbox_->port_rows = ~0U;
    guest_sets(MAX_PORTS - 1);
    EXPECT_EQ(taken(), std::vector<std::uint32_t>{MAX_PORTS - 1});
    guest_sets(5);
    mailbox_->port_rows = 0;
    EXPECT_EQ(taken(), std::vector<std::uint32_t>{5});
}

TEST_F(PortMailboxTest, AllBitsSetAndSelectorsWithoutBits) {
    mailbox_->port_rows = doorbell::MAX_PORT_ROWS;
    mailbox_->to_vmm.selector = ~0ULL;
    EXPECT_TRUE(taken().empty());
    mailbox_->to_vmm.selector = ~0ULL;
    for (std::uint64_t& word : mailbox_->to_vmm.word) {
        word = ~0ULL;
    }
    EXPECT_EQ(taken().size(), MAX_PORTS);
}

TEST_F(PortMailboxTest, NothingIsLostBetweenThreads) {
    constexpr std::uint32_t count = 2000;
    std::thread guest{[&] {
        for (std::uint32_t port = 0; port < count; port++) {
            guest_sets(port);
        }
    }};
    std::set<std::uint32_t> seen;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (seen.size() < count && std::chrono::steady_clock::now() < end) {
        for (const std::uint32_t port : taken()) {
            EXPECT_TRUE(seen.insert(port).second) << port;
        }
    }
    guest.join();
    EXPECT_EQ(seen.size(), count);
}

} // namespace
} // namespace parapet::vmm
