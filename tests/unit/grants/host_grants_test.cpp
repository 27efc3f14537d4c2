// SPDX-License-Identifier: Apache-2.0
// Taking and giving back references: rights, marks, frames, and whatever a hostile guest or nucleus may have written.
#include "tests/unit/grants/fake_guest.hpp"

#include <gtest/gtest.h>

namespace parapet::grants::test {
namespace {

using doorbell::FrameOwner;
using doorbell::FrameType;

constexpr std::uint64_t frame = 140; ///< one of the domain's
constexpr std::uint16_t marks = abi::GTF_reading | abi::GTF_writing;

class HostGrantsTest : public testing::TestWithParam<std::uint32_t> {
protected:
    HostGrantsTest() {
        guest.use_version(version());
        guest.grow(2, version() == 2 ? 1 : 0);
    }
    [[nodiscard]] static std::uint32_t version() { return GetParam(); }
    [[nodiscard]] static std::uint32_t entries() { return version() == 2 ? 512 : 1024; }
    std::int16_t take(std::uint32_t ref, GrantAccess access = GrantAccess::write) {
        return static_cast<std::int16_t>(grants.take(GrantRef{ref}, access, lease));
    }
    [[nodiscard]] unsigned marked(std::uint32_t ref) const {
        return (version() == 2 ? guest.status(ref) : guest.v1(ref).flags) & marks;
    }
    /// After a refusal nothing may be left over.
    void expect_untouched(std::uint32_t ref) const {
        EXPECT_EQ(grants.in_use(), 0U);
        EXPECT_EQ(marked(ref), 0U);
        EXPECT_EQ(guest.mailbox->grants.host_leases, 0U);
        for (const std::uint16_t use : guest.host_use) {
            ASSERT_EQ(use, 0U);
        }
    }

    FakeGuest guest;
    HostGrants grants = guest.grants();
    Lease lease;
};

INSTANTIATE_TEST_SUITE_P(Versions, HostGrantsTest, testing::Values(1U, 2U));

TEST_P(HostGrantsTest, WritingUseIsMarkedAndPinned) {
    guest.grant(9, frame);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(lease.page, guest.frames.frame(frame));
    EXPECT_EQ(lease.mfn, frame);
    EXPECT_EQ(lease.first, 0U);
    EXPECT_EQ(lease.end, 4096U);
    EXPECT_EQ(marked(9), marks);
    EXPECT_EQ(guest.host_use[frame], 1U);
    EXPECT_NE(guest.mailbox->grants.host_leases, 0U);
    EXPECT_EQ(grants.in_use(), 1U);
    grants.give_back(lease);
    expect_untouched(9);
}

TEST_P(HostGrantsTest, ReadingUseIsMarkedOnly) {
    guest.grant(9, frame, abi::GTF_readonly);
    ASSERT_EQ(take(9, GrantAccess::read), abi::GNTST_okay);
    EXPECT_EQ(marked(9), abi::GTF_reading);
    EXPECT_EQ(guest.host_use[frame], 0U);
    EXPECT_NE(guest.mailbox->grants.host_leases, 0U);
    grants.give_back(lease);
    expect_untouched(9);
}

TEST_P(HostGrantsTest, MarksGoWithTheLastUse) {
    guest.grant(9, frame);
    Lease first, second, third;
    ASSERT_EQ(grants.take(GrantRef{9}, GrantAccess::write, first), GrantStatus::okay);
    ASSERT_EQ(grants.take(GrantRef{9}, GrantAccess::read, second), GrantStatus::okay);
    ASSERT_EQ(grants.take(GrantRef{9}, GrantAccess::write, third), GrantStatus::okay);
    EXPECT_EQ(guest.host_use[frame], 2U);
    grants.give_back(first);
    EXPECT_EQ(marked(9), marks);
    grants.give_back(third);
    EXPECT_EQ(marked(9), abi::GTF_reading);
    EXPECT_EQ(guest.host_use[frame], 0U);
    grants.give_back(second);
    expect_untouched(9);
}

TEST_P(HostGrantsTest, ReadOnlyEntryIsNotWritten) {
    guest.grant(9, frame, abi::GTF_readonly);
    EXPECT_EQ(take(9), abi::GNTST_general_error);
    expect_untouched(9);
}

TEST_P(HostGrantsTest, OnlyEntriesForDomain0) {
    for (const unsigned peer : {1U, 2U, 0x7ff0U, 0xffffU}) {
        guest.grant(9, frame, 0, static_cast<std::uint16_t>(peer));
        EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_general_error) << peer;
    }
    expect_untouched(9);
}

TEST_P(HostGrantsTest, OnlyPermitAccess) {
    for (const std::uint16_t type : {abi::GTF_invalid, abi::GTF_accept_transfer, abi::GTF_transitive}) {
        guest.grant(9, frame);
        (version() == 2 ? guest.v2(9).hdr.flags : guest.v1(9).flags) = type;
        EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_general_error) << type;
    }
    expect_untouched(9);
}

TEST_P(HostGrantsTest, ReferencesBeyondTheTable) {
    for (const std::uint32_t ref : {entries(), entries() + 1, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        EXPECT_EQ(take(ref), abi::GNTST_bad_gntref) << ref;
    }
    guest.grant(entries() - 1, frame);
    EXPECT_EQ(take(entries() - 1), abi::GNTST_okay);
}

TEST_P(HostGrantsTest, NoTableYet) {
    guest.grow(0);
    EXPECT_EQ(take(0), abi::GNTST_bad_gntref);
    EXPECT_EQ(guest.mailbox->grants.host_leases, 0U);
}

TEST_P(HostGrantsTest, SeesTheTableGrowWhileInUse) {
    guest.grant(9, frame);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    ASSERT_EQ(take(entries()), abi::GNTST_bad_gntref);
    const std::uint32_t ref = 64 * (version() == 2 ? 256U : 512U) - 1;
    guest.grow(64, version() == 2 ? 8 : 0);
    guest.grant(ref, frame + 1);
    Lease last;
    ASSERT_EQ(grants.take(GrantRef{ref}, GrantAccess::write, last), GrantStatus::okay);
    EXPECT_EQ(last.mfn, frame + 1);
    grants.give_back(lease);
    grants.give_back(last);
    expect_untouched(ref);
}

TEST_P(HostGrantsTest, FramesThatAreNotTheDomains) {
    guest.set_frame(150, FrameOwner::free, FrameType::none);
    guest.set_frame(151, FrameOwner::shared, FrameType::none);
    guest.set_frame(152, FrameOwner::nobody, FrameType::none);
    guest.set_frame(20, FrameOwner::domain, FrameType::none); // what a nucleus in the guest's hand could say
    for (const std::uint64_t mfn :
         {std::uint64_t{0}, std::uint64_t{20}, FakeGuest::domain_first - 1, std::uint64_t{150}, std::uint64_t{151},
          std::uint64_t{152}, std::uint64_t{FakeGuest::low_end}, FakeGuest::high_start - 1,
          std::uint64_t{FakeGuest::max_mfn}, std::uint64_t{0xffffffff}}) {
        guest.grant(9, mfn);
        EXPECT_EQ(take(9, GrantAccess::write), abi::GNTST_bad_page) << mfn;
        EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_bad_page) << mfn;
        expect_untouched(9);
    }
    for (const std::uint64_t mfn : {std::uint64_t{FakeGuest::domain_first}, FakeGuest::low_end - 1,
                                    std::uint64_t{FakeGuest::high_start}, FakeGuest::max_mfn - 1}) {
        guest.grant(9, mfn);
        EXPECT_EQ(take(9, GrantAccess::write), abi::GNTST_okay) << mfn;
        EXPECT_EQ(lease.page, guest.frames.frame(mfn));
        grants.give_back(lease);
    }
}

TEST_P(HostGrantsTest, TablesAreReadAndNeverWritten) {
    for (const FrameType type : {FrameType::l1, FrameType::l2, FrameType::l3, FrameType::l4, FrameType::descriptor}) {
        guest.set_frame(frame, FrameOwner::domain, type);
        guest.grant(9, frame);
        EXPECT_EQ(take(9, GrantAccess::write), abi::GNTST_permission_denied);
        expect_untouched(9);
        EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_okay);
        grants.give_back(lease);
    }
    guest.set_frame(frame, FrameOwner::domain, FrameType::writable);
    EXPECT_EQ(take(9, GrantAccess::write), abi::GNTST_okay);
}

TEST_P(HostGrantsTest, CountersDoNotOverflow) {
    guest.grant(9, frame);
    guest.grant(10, frame);
    std::vector<Lease> leases(0xffff);
    for (Lease& one : leases) {
        ASSERT_EQ(grants.take(GrantRef{9}, GrantAccess::write, one), GrantStatus::okay);
    }
    EXPECT_EQ(take(9), abi::GNTST_general_error);            // the reference's counter
    EXPECT_EQ(take(10), abi::GNTST_general_error);           // the frame's
    EXPECT_EQ(take(10, GrantAccess::read), abi::GNTST_okay); // which reading does not need
    EXPECT_EQ(guest.host_use[frame], 0xffff);
    grants.give_back(lease);
    EXPECT_EQ(marked(10), 0U);
    for (const Lease& one : leases) {
        grants.give_back(one);
    }
    expect_untouched(9);
}

TEST_P(HostGrantsTest, ManyReadersOfOneFrame) {
    for (std::uint32_t ref = 8; ref < 512; ref++) {
        guest.grant(ref, frame, abi::GTF_readonly);
    }
    std::vector<Lease> leases;
    for (int round = 0; round < 200; round++) {
        for (std::uint32_t ref = 8; ref < 512; ref++) {
            ASSERT_EQ(take(ref, GrantAccess::read), abi::GNTST_okay);
            leases.push_back(lease);
        }
    }
    EXPECT_GT(leases.size(), 0xffffU);
    for (const Lease& one : leases) {
        grants.give_back(one);
    }
    expect_untouched(300);
}

TEST_P(HostGrantsTest, NothingBeginsWhileTheNucleusIsAtWork) {
    guest.grant(9, frame);
    guest.mailbox->grants.sequence = 1;
    EXPECT_EQ(take(9), abi::GNTST_eagain);
    expect_untouched(9);
    guest.mailbox->grants.sequence = 2;
    EXPECT_EQ(take(9), abi::GNTST_okay);
}

TEST_P(HostGrantsTest, AnotherVersionAfterTheLastUse) {
    guest.grow(2, 1);
    guest.grant(9, frame);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    grants.give_back(lease);
    const std::uint32_t other = version() == 2 ? 1 : 2;
    guest.use_version(other);
    guest.grant(9, frame + 1);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(lease.mfn, frame + 1);
    EXPECT_EQ((other == 2 ? guest.status(9) : guest.v1(9).flags) & marks, marks);
}

/// A nucleus that breaks the rules: everything stays inside the VM's memory.
TEST_P(HostGrantsTest, NonsenseInTheMailbox) {
    guest.grant(9, frame);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    guest.mailbox->grants.version = version() == 2 ? 1 : 2;
    guest.mailbox->grants.nr_frames = 0;
    guest.mailbox->grants.nr_status_frames = 0;
    grants.give_back(lease);
    EXPECT_EQ(guest.host_use[frame], 0U);

    FakeGuest fresh;
    fresh.use_version(version());
    fresh.mailbox->grants.nr_frames = fresh.mailbox->grants.nr_status_frames = 0xffffffff;
    for (std::uint64_t& mfn : fresh.mailbox->grants.frames) {
        mfn = ~0ULL;
    }
    HostGrants none = fresh.grants();
    EXPECT_EQ(none.take(GrantRef{0}, GrantAccess::read, lease), GrantStatus{abi::GNTST_bad_gntref});
    for (std::uint64_t& mfn : fresh.mailbox->grants.frames) {
        mfn = FakeGuest::max_mfn - 1;
    }
    for (std::uint64_t& mfn : fresh.mailbox->grants.status_frames) {
        mfn = FakeGuest::low_end; // no RAM
    }
    const std::uint32_t end = 64 * (version() == 2 ? 256U : 512U);
    EXPECT_EQ(none.take(GrantRef{end}, GrantAccess::read, lease), GrantStatus{abi::GNTST_bad_gntref});
    EXPECT_NE(none.take(GrantRef{end - 1}, GrantAccess::read, lease), GrantStatus::okay);
}

TEST_P(HostGrantsTest, LeasesThatWereNotTaken) {
    guest.grant(9, frame);
    grants.give_back({});
    Lease wild{guest.frames.frame(frame), ~0ULL, GrantRef{0xffffffff}, GrantAccess::write};
    grants.give_back(wild);
    wild.ref = GrantRef{9};
    grants.give_back(wild);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    grants.give_back(lease);
    grants.give_back(lease); // twice
    expect_untouched(9);
}

/// The guest cleared its entry though it was marked, and gave the reference to another frame.
TEST_P(HostGrantsTest, EntryReusedUnderAUse) {
    guest.grant(9, frame);
    Lease old;
    ASSERT_EQ(grants.take(GrantRef{9}, GrantAccess::write, old), GrantStatus::okay);
    guest.grant(9, frame + 1);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(lease.mfn, frame + 1);
    EXPECT_EQ(guest.host_use[frame], 1U);
    EXPECT_EQ(guest.host_use[frame + 1], 1U);
    grants.give_back(old);
    EXPECT_EQ(guest.host_use[frame], 0U);
    EXPECT_EQ(marked(9), marks);
    grants.give_back(lease);
    expect_untouched(9);
}

TEST_P(HostGrantsTest, RefusalLeavesAnotherUseMarked) {
    guest.grant(9, frame);
    ASSERT_EQ(take(9, GrantAccess::read), abi::GNTST_okay);
    guest.set_frame(frame, FrameOwner::domain, FrameType::l1);
    Lease refused;
    EXPECT_EQ(grants.take(GrantRef{9}, GrantAccess::write, refused), GrantStatus{abi::GNTST_permission_denied});
    EXPECT_EQ(marked(9), abi::GTF_reading);
    grants.give_back(lease);
    expect_untouched(9);
}

class Version2 : public HostGrantsTest {};
INSTANTIATE_TEST_SUITE_P(Versions, Version2, testing::Values(2U));

TEST_P(Version2, PartOfAPage) {
    guest.v2(9).sub_page = {{abi::GTF_permit_access | abi::GTF_sub_page, 0}, 100, 50, frame};
    ASSERT_EQ(take(9, GrantAccess::read), abi::GNTST_okay);
    EXPECT_EQ(lease.page, guest.frames.frame(frame));
    EXPECT_EQ(lease.first, 100U);
    EXPECT_EQ(lease.end, 150U);
    grants.give_back(lease);
    for (const auto& [offset, length, end] :
         {std::array<std::uint16_t, 3>{0, 4096, 4096}, {4095, 1, 4096}, {4000, 0xffff, 4096}, {0, 0xffff, 4096}}) {
        guest.v2(9).sub_page = {{abi::GTF_permit_access | abi::GTF_sub_page, 0}, offset, length, frame};
        ASSERT_EQ(take(9), abi::GNTST_okay) << offset << '+' << length;
        EXPECT_EQ(lease.first, offset);
        EXPECT_EQ(lease.end, end);
        grants.give_back(lease);
    }
    for (const auto& [offset, length] :
         {std::pair<std::uint16_t, std::uint16_t>{0, 0}, {4096, 1}, {0xffff, 0xffff}, {4095, 0}}) {
        guest.v2(9).sub_page = {{abi::GTF_permit_access | abi::GTF_sub_page, 0}, offset, length, frame};
        EXPECT_EQ(take(9), abi::GNTST_general_error) << offset << '+' << length;
        expect_untouched(9);
    }
}

TEST_P(Version2, WideFrameNumbers) {
    for (const std::uint64_t mfn : {frame + (1ULL << 32), frame + (1ULL << 52), ~0ULL}) {
        guest.grant(9, mfn);
        EXPECT_EQ(take(9), abi::GNTST_bad_page);
    }
    expect_untouched(9);
}

TEST_P(Version2, EntryWithoutAStatusIsOutOfReach) {
    guest.grow(9, 1); // 2304 entries, 2048 of them with a status
    guest.grant(2047, frame);
    guest.grant(2048, frame);
    EXPECT_EQ(take(2048), abi::GNTST_bad_gntref);
    EXPECT_EQ(take(2047), abi::GNTST_okay);
}

TEST(DescribeStatus, EveryStatusHasAText) {
    for (std::int16_t status = 0; status > -20; status--) {
        EXPECT_STRNE(describe(GrantStatus{status}), "");
    }
}

} // namespace
} // namespace parapet::grants::test
