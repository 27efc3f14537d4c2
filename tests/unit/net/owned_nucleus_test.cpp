// SPDX-License-Identifier: Apache-2.0
// Two guests on a cable, one of which owns its nucleus: its rings, packets, grant table, grant information, frame words
// and uses by the host change at random while frames go both ways. The sanitizers judge; it must let go of everything,
// and the other guest must not notice but by frames that are lost.
#include "backends/net/link_endpoint.hpp"
#include "tests/unit/net/net_guest.hpp"
#include "tests/unit/net/test_frames.hpp"
#include "tests/unit/scribbler.hpp"

#include <filesystem>

namespace parapet::net::test {
namespace {

TEST(OwnedNucleus, HarmsNeitherHostNorPartner) {
    char name[] = "/tmp/parapet-owned-XXXXXX";
    const std::filesystem::path folder = ::mkdtemp(name);
    const std::string path = folder / "link";
    for (std::uint64_t round = 0; round < 6; round++) {
        LinkEndpoint good_end{path, *open_link(path)}, bad_end{path, *open_link(path)};
        NetGuest good{good_end, VifSpec{}}, bad{bad_end, VifSpec{}};
        good.connect();
        bad.connect();
        {
            grants::test::FakeGuest& memory = bad.memory;
            std::vector<std::uint64_t> favourites{1, 2, 4, 8, 60, 1514, 4096, 0xffff, memory.table_mfn};
            for (std::uint64_t mfn = NetGuest::rings_mfn; mfn < memory.low_end; mfn += 5) {
                favourites.push_back(mfn);
            }
            const auto page = [&](std::uint64_t mfn) {
                return parapet::test::Scribbler::Region{memory.frames.frame(mfn), 4096};
            };
            parapet::test::Scribbler scribbler{
                {page(NetGuest::rings_mfn), page(NetGuest::rings_mfn + 1), page(memory.table_mfn),
                 page(memory.table_mfn + 1), page(NetGuest::tx_mfn), page(NetGuest::rx_mfn),
                 parapet::test::bytes_of(&memory.mailbox->grants),
                 parapet::test::bytes_of(memory.frame_table.data(), memory.frame_table.size()),
                 parapet::test::bytes_of(memory.host_use.data(), memory.host_use.size() / 4 * 4)},
                favourites,
                round};
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{250};
            for (unsigned turn = 0; std::chrono::steady_clock::now() < end; turn++) {
                if (good.tx.produced() - good.tx.consumed() < FrontTx::slots / 2) { // its ring is no place to misbehave
                    good.put_frame(plain_frame(60 + turn % 3000, turn));
                    good.push_tx();
                }
                bad.put_frame(plain_frame(60 + turn % 9000, turn));
                bad.push_tx();
                bad.offer(3);
                for (NetGuest* guest : {&good, &bad}) {
                    guest->control.restart();
                    guest->control.poll();
                }
                while (good.tx.answered() != 0) {
                    EXPECT_GE(good.tx.take().status, abi::NETIF_RSP_DROPPED);
                }
            }
            EXPECT_GT(scribbler.writes(), 100U);
        }
        bad.disconnect();
        EXPECT_TRUE(good.failures.empty()) << good.failures.front();
        good.disconnect();
    }
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace parapet::net::test
