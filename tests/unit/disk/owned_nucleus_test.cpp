// SPDX-License-Identifier: Apache-2.0
// A block backend and a guest that owns its nucleus: ring, requests, data, grant table, grant information, frame words
// and uses by the host change at random while it works. The sanitizers judge; and it must let go of everything.
#include "tests/unit/disk/block_fixture.hpp"
#include "tests/unit/scribbler.hpp"

namespace parapet::disk_test {
namespace {

using OwnedNucleus = BlockTest;

TEST_F(OwnedNucleus, WorksAndLetsGo) {
    for (std::uint64_t round = 0; round < 6; round++) {
        failed.clear();
        make(round % 2 == 0 ? "" : "persistent=off");
        auto frontend = std::make_unique<Frontend<>>(guest, static_cast<unsigned>(round % 3), 5);
        name_ring(*frontend);
        std::vector<std::uint32_t> refs;
        for (int i = 0; i < 16; i++) {
            refs.push_back(guest.grant(guest.allocate()));
        }
        if (!connect().ok()) {
            continue; // what the last round left of the grant table may not do
        }
        std::vector<std::uint64_t> favourites(refs.begin(), refs.end());
        favourites.insert(favourites.end(), {1, 2, 6, 7, 11, 4096, FakeGuest::first_own, FakeGuest::frames});
        const auto post = [&](std::uint64_t turn) {
            auto request = Frontend<>::request(static_cast<std::uint8_t>(turn % 2), turn, turn % 1000);
            Frontend<>::add(request, refs[turn % refs.size()]);
            frontend->post(request);
        };
        if (round == 0) { // the one round that starts from a clean grant table: the device does work
            post(0);
            ASSERT_TRUE(guest.run_until([&] { return target->submitted != 0; }, 30s)) << "nothing was ever tried";
        }
        {
            test::Scribbler scribbler{guest.shared_with_the_nucleus(), favourites, round};
            const auto end = std::chrono::steady_clock::now() + 250ms;
            for (std::uint64_t turn = 0; std::chrono::steady_clock::now() < end; turn++) {
                post(turn);
                guest.run_until([&] { return !failed.empty(); }, 1ms);
            }
            EXPECT_GT(scribbler.writes(), 100U);
        }
        ASSERT_TRUE(disconnect()) << "round " << round;
        ASSERT_EQ(guest.leases(), 0U) << "round " << round;
        backend.reset();
        guest.mend();
    }
}

} // namespace
} // namespace parapet::disk_test
