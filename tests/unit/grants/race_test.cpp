// SPDX-License-Identifier: Apache-2.0
// The host takes and gives back while another thread is the guest that revokes, or the nucleus that makes tables, swaps
// entries, changes the version. Whoever may use the page says so in it; nobody may find the other there.
#include "tests/unit/grants/fake_guest.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

namespace parapet::grants::test {
namespace {

constexpr std::uint64_t frame = 140;
constexpr std::uint32_t ref = 9;
constexpr unsigned marks = abi::GTF_reading | abi::GTF_writing;
constexpr auto duration = std::chrono::milliseconds{300};

/// Some time, each time another, so that the two threads meet everywhere.
void linger() {
    thread_local std::uint32_t seed = 1;
    seed = seed * 1664525 + 1013904223;
    std::atomic<unsigned> spin = seed >> 25;
    while (spin.load() != 0) {
        spin--;
    }
}

/// Set while somebody uses the frame in a way that excludes the other.
class Owner {
public:
    void hold(const char* who) {
        if (held_.exchange(true)) {
            ADD_FAILURE() << who << " found the frame in use";
        }
        linger();
        held_.store(false);
        holds_++;
    }
    [[nodiscard]] std::uint64_t holds() const { return holds_; }

private:
    std::atomic<bool> held_ = false;
    std::atomic<std::uint64_t> holds_ = 0;
};

struct Race {
    FakeGuest guest;
    HostGrants grants = guest.grants();
    Owner owner;
    std::uint64_t taken = 0, refused = 0;
    std::atomic<bool> over = false;

    explicit Race(std::uint32_t version) {
        guest.use_version(version);
        guest.grow(1, 1);
    }
    /// One use by the host.
    void use(GrantAccess access) {
        Lease lease;
        if (grants.take(GrantRef{ref}, access, lease) != GrantStatus::okay) {
            refused++;
            return;
        }
        taken++;
        owner.hold("the host");
        grants.give_back(lease);
    }
    /// `other` again and again, against the host.
    void run(GrantAccess access, const std::function<void()>& other) {
        std::thread thread{[&] {
            while (!over) {
                other();
            }
        }};
        const auto end = std::chrono::steady_clock::now() + duration;
        while (std::chrono::steady_clock::now() < end) {
            for (int i = 0; i < 100; i++) {
                use(access);
            }
        }
        over = true;
        thread.join();
        EXPECT_EQ(grants.in_use(), 0U);
        EXPECT_EQ(guest.mailbox->grants.host_leases, 0U);
        EXPECT_EQ(guest.host_use[frame], 0U);
        EXPECT_GT(taken, 0U);
    }
};

TEST(GrantRace, GuestRevokesVersion1) {
    Race race{1};
    race.run(GrantAccess::write, [&] {
        race.guest.grant(ref, frame);
        linger();
        std::atomic_ref flags{race.guest.v1(ref).flags};
        std::uint16_t seen = flags.load();
        while (true) {
            if ((seen & marks) != 0) {
                seen = flags.load();
            } else if (flags.compare_exchange_strong(seen, abi::GTF_invalid)) {
                break;
            }
        }
        race.owner.hold("the guest");
    });
    EXPECT_EQ(race.guest.v1(ref).flags & marks, 0U);
}

TEST(GrantRace, GuestRevokesVersion2) {
    Race race{2};
    std::atomic_ref flags{race.guest.v2(ref).hdr.flags};
    std::atomic_ref status{race.guest.status(ref)};
    race.run(GrantAccess::write, [&] {
        race.guest.v2(ref).full_page.frame = frame;
        flags.store(abi::GTF_permit_access);
        linger();
        flags.store(abi::GTF_invalid);
        while ((status.load() & marks) != 0) {
        }
        race.owner.hold("the guest");
    });
    EXPECT_EQ(status.load() & marks, 0U);
}

/// As first_type() in hypercall-emu/core/frame_types.cpp and put_free_frame() in free_frames.cpp do it.
void make_of_it(Race& race, doorbell::FrameOwner owner, doorbell::FrameType type) {
    race.guest.set_frame(frame, owner, type);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (std::atomic_ref{race.guest.host_use[frame]}.load() == 0) {
        race.owner.hold("the nucleus");
    }
    race.guest.set_frame(frame, doorbell::FrameOwner::domain, doorbell::FrameType::none);
    linger();
}

TEST(GrantRace, FrameBecomesATable) {
    Race race{1};
    race.guest.grant(ref, frame);
    race.run(GrantAccess::write, [&] { make_of_it(race, doorbell::FrameOwner::domain, doorbell::FrameType::l1); });
}

TEST(GrantRace, FrameIsBallooned) {
    Race race{2};
    race.guest.grant(ref, frame);
    race.run(GrantAccess::write, [&] { make_of_it(race, doorbell::FrameOwner::free, doorbell::FrameType::none); });
}

/// As change_version() in hypercall-emu/core/grant_version.cpp does it. The entry is valid in both versions.
TEST(GrantRace, VersionChanges) {
    Race race{1};
    race.guest.use_version(2);
    race.guest.grant(ref, frame);
    race.guest.use_version(1);
    race.guest.grant(ref, frame);
    doorbell::GrantInfo& info = race.guest.mailbox->grants;
    race.run(GrantAccess::read, [&] {
        std::atomic_ref sequence{info.sequence};
        sequence.fetch_add(1);
        if (std::atomic_ref{info.host_leases}.load() == 0) {
            race.owner.hold("the nucleus");
            std::atomic_ref version{info.version};
            version.store(3 - version.load());
        }
        sequence.fetch_add(1);
        linger();
    });
    EXPECT_EQ(race.guest.v1(ref).flags & marks, 0U);
    EXPECT_EQ(race.guest.status(ref) & marks, 0U);
}

/// As swap() in hypercall-emu/core/grant_table.cpp does it.
TEST(GrantRace, EntriesAreSwapped) {
    Race race{1};
    race.guest.grant(ref, frame);
    race.guest.grant(ref + 1, frame, 0, 1); // not for the host
    doorbell::GrantInfo& info = race.guest.mailbox->grants;
    race.run(GrantAccess::write, [&] {
        std::atomic_ref sequence{info.sequence};
        std::atomic_ref word{reinterpret_cast<std::uint32_t&>(race.guest.v1(ref))};
        std::atomic_ref other{reinterpret_cast<std::uint32_t&>(race.guest.v1(ref + 1))};
        sequence.fetch_add(1);
        if ((word.load() & marks) == 0) {
            race.owner.hold("the nucleus");
            const std::uint32_t kept = word.load() & ~marks;
            word.store(other.load() & ~marks);
            other.store(kept);
        }
        sequence.fetch_add(1);
        linger();
    });
    EXPECT_EQ(race.guest.v1(ref).flags & marks, 0U);
    EXPECT_EQ(race.guest.v1(ref + 1).flags & marks, 0U);
}

/// A guest that keeps no rule at all: nothing is left over, nothing is written outside.
TEST(GrantRace, GuestScribblesOverTheTable) {
    for (const std::uint32_t version : {1U, 2U}) {
        Race race{version};
        race.guest.grant(ref, frame);
        std::uint64_t seed = 1;
        race.over = false;
        std::thread guest{[&] {
            while (!race.over) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                const auto word = static_cast<std::uint32_t>(seed >> 33);
                std::atomic_ref{race.guest.at<std::uint32_t>(FakeGuest::table_mfn, word % 1024 * 4)}.store(
                    (word >> 8 & 1) != 0 ? abi::GTF_permit_access : frame + word % 3);
                std::atomic_ref{race.guest.at<std::uint16_t>(FakeGuest::status_mfn, word % 2048 * 2)}.store(
                    static_cast<std::uint16_t>(word));
            }
        }};
        std::vector<Lease> leases;
        const auto end = std::chrono::steady_clock::now() + duration;
        for (std::uint32_t i = 0; std::chrono::steady_clock::now() < end; i++) {
            Lease lease;
            if (race.grants.take(GrantRef{i % 512}, i % 2 == 0 ? GrantAccess::write : GrantAccess::read, lease) ==
                GrantStatus::okay) {
                leases.push_back(lease);
            }
            if (leases.size() == 64) {
                for (const Lease& one : leases) {
                    race.grants.give_back(one);
                }
                leases.clear();
            }
        }
        for (const Lease& one : leases) {
            race.grants.give_back(one);
        }
        race.over = true;
        guest.join();
        EXPECT_EQ(race.grants.in_use(), 0U);
        for (const std::uint16_t use : race.guest.host_use) {
            ASSERT_EQ(use, 0U);
        }
    }
}

} // namespace
} // namespace parapet::grants::test
