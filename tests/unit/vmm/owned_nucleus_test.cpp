// SPDX-License-Identifier: Apache-2.0
// What the vmm itself reads from a VM whose nucleus belongs to the guest: mailbox, request block, grant information,
// frame words and uses by the host, console and store rings, while all of them change at random. (Block and network
// rings: tests/unit/disk and net.) The sanitizers judge.
#include "backends/console/console_ring.hpp"
#include "iorings/grants/host_grants.hpp"
#include "iorings/xenstore/connection.hpp"
#include "iorings/xenstore/ring_transport.hpp"
#include "iorings/xenstore/store.hpp"
#include "tests/unit/scribbler.hpp"
#include "vmm/nucleus_loader.hpp"
#include "vmm/port_mailbox.hpp"
#include "vmm/requests.hpp"

#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <random>
#include <sys/eventfd.h>

namespace parapet::vmm {
namespace {

using namespace std::chrono_literals;
using parapet::test::bytes_of;
using parapet::test::Scribbler;

constexpr std::uint64_t domain_pages = 64;

class OwnedNucleus : public testing::Test {
protected:
    static GuestRam make_ram() {
        MachineLayout layout;
        layout.frames = nucleus_frames(domain_pages) + domain_pages;
        return *GuestRam::create(layout);
    }
    [[nodiscard]] std::uint64_t own_frame(std::uint64_t index) const {
        return ram_.layout().mfn_of(place_.domain_first + index);
    }
    [[nodiscard]] Scribbler scribbler(std::uint64_t seed) const {
        std::vector<std::uint64_t> favourites;
        for (std::uint64_t mfn = 0; mfn < ram_.layout().end() + 2; mfn += mfn < own_frame(0) ? 61 : 1) {
            favourites.push_back(mfn);
        }
        for (std::uint64_t kind = 0; kind < 12; kind++) {
            favourites.push_back(kind); // of requests; versions of grant tables
        }
        return {{bytes_of(&place_.mailbox->to_vmm), bytes_of(&place_.mailbox->to_nucleus),
                 bytes_of(&place_.mailbox->request), bytes_of(&place_.mailbox->grants), bytes_of(place_.mailbox),
                 bytes_of(const_cast<std::uint64_t*>(place_.frame_table), place_.max_mfn),
                 bytes_of(place_.host_use, place_.max_mfn / 4 * 4), bytes_of(ram_.frame(own_frame(0)), 4096),
                 bytes_of(ram_.frame(own_frame(1)), 4096),
                 bytes_of(ram_.frame(own_frame(0)), (domain_pages - 1) * page_size)},
                std::move(favourites),
                seed};
    }
    /// Runs `step` beside it: for a while, and until both have done something and `tried` says that it counts. On a
    /// busy host that takes longer.
    template <typename Step, typename Tried>
    void beside(std::uint64_t seed, Step step, Tried tried) {
        Scribbler scribbler = this->scribbler(seed);
        const auto begin = std::chrono::steady_clock::now();
        std::uint64_t steps = 0;
        for (auto now = begin;
             now < begin + 700ms || (now < begin + 60s && !(steps > 10 && scribbler.writes() > 1000 && tried()));
             now = std::chrono::steady_clock::now()) {
            step();
            steps++;
        }
        scribbler.stop();
        EXPECT_GT(steps, 10U);
        EXPECT_GT(scribbler.writes(), 1000U);
    }
    template <typename Step>
    void beside(std::uint64_t seed, Step step) {
        beside(seed, step, [] { return true; });
    }

    GuestRam ram_ = make_ram();
    NucleusPlace place_ = load_nucleus(ram_, {});
    std::mt19937_64 random_{7};
};

TEST_F(OwnedNucleus, PortsAndRequests) {
    const int interrupt = ::eventfd(0, EFD_NONBLOCK);
    PortMailbox ports{*place_.mailbox, interrupt};
    std::size_t said = 0;
    RequestServer server{ram_, *place_.mailbox, place_.domain_first,
                         [&](std::string_view text) { said += text.size(); },
                         [&](std::span<const std::byte* const> pages) {
                             for (const std::byte* page : pages) {
                                 ASSERT_GE(page, ram_.frame(own_frame(0)));
                                 ASSERT_LT(page, ram_.base() + ram_.bytes());
                             }
                         }};
    beside(1, [&] {
        ports.take([](std::uint32_t port) { ASSERT_LT(port, doorbell::MAX_PORTS); });
        ports.notify(static_cast<std::uint32_t>(random_()));
        const auto stop = server.serve();
        ASSERT_TRUE(!stop || stop->report.size() < 20'000);
    });
    ::close(interrupt);
}

TEST_F(OwnedNucleus, Grants) {
    grants::HostGrants grants{ram_.frames(),   *place_.mailbox, place_.frame_table,
                              place_.host_use, place_.max_mfn,  place_.domain_first_mfn};
    std::vector<grants::Lease> leases;
    std::uint64_t taken = 0;
    beside(
        2,
        [&] {
            // A table that may work: it does now and then, before the next write.
            doorbell::GrantInfo& info = place_.mailbox->grants;
            std::atomic_ref{info.version}.store(1 + random_() % 2);
            std::atomic_ref{info.frames[0]}.store(own_frame(2));
            std::atomic_ref{info.status_frames[0]}.store(own_frame(3));
            std::atomic_ref{info.nr_status_frames}.store(1);
            std::atomic_ref{info.nr_frames}.store(1);
            grants::Lease lease;
            const auto access = random_() % 2 == 0 ? grants::GrantAccess::read : grants::GrantAccess::write;
            const auto ref = grants::GrantRef{static_cast<std::uint32_t>(random_() % 600)};
            if (grants.take(ref, access, lease) == grants::GrantStatus::okay) {
                ASSERT_GE(lease.page, ram_.frame(own_frame(0)));
                ASSERT_LE(lease.page + page_size, ram_.base() + ram_.bytes());
                ASSERT_LT(lease.first, lease.end);
                ASSERT_LE(lease.end, page_size);
                leases.push_back(lease);
                taken++;
            }
            if (leases.size() > 40 || (!leases.empty() && random_() % 4 == 0)) {
                grants.give_back(leases.back());
                leases.pop_back();
            }
        },
        [&] { return taken > 0; });
    for (const grants::Lease& lease : leases) {
        grants.give_back(lease);
    }
    EXPECT_EQ(grants.in_use(), 0U);
    EXPECT_GT(taken, 0U) << "none worked: nothing was tried";
}

TEST_F(OwnedNucleus, ConsoleAndStore) {
    console::ConsoleRing console{*ram_.frame_as<abi::xencons_interface>(own_frame(0))};
    xenstore::Store store;
    xenstore::Connection connection{store, xenstore::DomId{1}};
    xenstore::RingTransport transport{connection, ram_.frame(own_frame(1))};
    std::array<char, 3000> bytes{};
    beside(3, [&] {
        const auto taken = console.take_output({bytes.data(), random_() % bytes.size()});
        ASSERT_LE(taken.bytes, bytes.size());
        const auto put = console.put_input({bytes.data(), random_() % bytes.size()});
        ASSERT_LE(put.bytes, bytes.size());
        for (int i = 0; i < 20 && transport.pump().again; i++) {
        }
    });
}

} // namespace
} // namespace parapet::vmm
