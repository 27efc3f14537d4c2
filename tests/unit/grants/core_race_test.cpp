// SPDX-License-Identifier: Apache-2.0
// The host's grants in a thread of its own against the nucleus's core itself: frames become tables and go to the
// balloon, entries are swapped, the version changes, while the host takes and gives back. (race_test.cpp has the
// protocol alone, at its tightest.) Wherever the host holds a frame for writing, the frame table lets it; and nothing
// is left over.
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "iorings/grants/host_grants.hpp"
#include "pv-abi/memory.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"
#include "tests/unit/nucleus/memory_invariants.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace parapet::grants::test {
namespace {

using nucleus::FrameType;
using nucleus::PAGE_SIZE;
using nucleus::Pte;
using nucleus::u32;
using nucleus::u64;
using nucleus::test::FakeVm;

constexpr u64 PAGE = 60;
constexpr u32 REF = 9, OTHER_REF = 10;
constexpr unsigned MARKS = abi::GTF_reading | abi::GTF_writing, ROUNDS = 20'000;

class CoreRace : public testing::Test {
protected:
    FakeVm vm;
    HostGrants grants{GuestFrames{reinterpret_cast<std::byte*>(vm.machine.directmap), vm.boot.max_mfn, vm.boot.max_mfn,
                                  vm.boot.max_mfn},
                      vm.mailbox(),
                      &vm.domain().frames[nucleus::Mfn{0}].word,
                      vm.host_use_array(),
                      vm.boot.max_mfn,
                      vm.boot.domain_first_mfn};
    const nucleus::Mfn frame = vm.mfn(PAGE);
    std::atomic<unsigned> taken = 0; ///< uses by the host
    unsigned won = 0;                ///< by the nucleus

    CoreRace() {
        vm.machine.recording = false;
        // No mapping of the guest's own: the frame is fit to be a table.
        EXPECT_EQ(vm.call(nucleus::do_update_va_mapping, vm.va(PAGE).address, 0, 0), 0);
        nucleus::fill_bytes(vm.frame(frame), 0, PAGE_SIZE);
        entry_v1(vm.domain(), REF) = {abi::GTF_permit_access, 0, static_cast<u32>(frame.number)};
    }

    /// `nucleus` ROUNDS times in this thread, uses by the host in another; it counts in `won` how often it did its
    /// work.
    template <typename Nucleus>
    void race(Nucleus nucleus) {
        std::atomic<bool> over = false;
        std::thread host{[&] {
            while (!over) {
                Lease lease;
                if (grants.take(GrantRef{REF}, GrantAccess::write, lease) != GrantStatus::okay)
                    continue;
                taken++;
                doorbell::FrameWord word;
                word.word = __atomic_load_n(&vm.domain().frames[nucleus::Mfn{lease.mfn}].word, __ATOMIC_ACQUIRE);
                // It may be on its way to another type, which it will not get: then its word is taken back.
                const u64 until = ROUNDS * 100;
                for (u64 i = 0; !word.host_may_write() && i < until; i++)
                    word.word = __atomic_load_n(&vm.domain().frames[nucleus::Mfn{lease.mfn}].word, __ATOMIC_ACQUIRE);
                EXPECT_TRUE(word.host_may_write()) << std::hex << word.word;
                lease.page[8] = std::byte{0}; // of no consequence to a table
                grants.give_back(lease);
            }
        }};
        // Until both have had their way, on a machine that is busy with other things too.
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{60};
        const auto both = [&] { return won != 0 && taken != 0; };
        for (unsigned round = 0; round < ROUNDS || (!both() && std::chrono::steady_clock::now() < limit); round++)
            nucleus();
        over = true;
        host.join();
        EXPECT_GT(taken, 0u);
        EXPECT_GT(won, 0u);
        EXPECT_EQ(grants.in_use(), 0u);
        EXPECT_EQ(vm.mailbox().grants.host_leases, 0u);
        EXPECT_EQ(vm.host_use(PAGE), 0u);
        nucleus::test::expect_memory_invariants(vm);
    }
};

TEST_F(CoreRace, FrameBecomesATable) {
    race([&] {
        if (pin_table(vm.vcpu(), frame, FrameType::l1) != 0)
            return;
        won++;
        EXPECT_EQ(unpin_table(vm.vcpu(), frame), 0);
    });
}

TEST_F(CoreRace, FrameIsBallooned) {
    race([&] {
        if (!put_free_frame(vm.domain(), frame))
            return;
        won++;
        EXPECT_EQ(vm.host_use(PAGE), 0u);
        EXPECT_EQ(take_free_frames(vm.domain(), 0, vm.nr_frames()), frame);
    });
}

TEST_F(CoreRace, EntriesAreSwapped) {
    vm.arg(abi::gnttab_swap_grant_ref{REF, OTHER_REF, 0});
    race([&] {
        abi::gnttab_swap_grant_ref op{REF, OTHER_REF, 0};
        ASSERT_EQ(vm.call(nucleus::do_grant_table_op, abi::GNTTABOP_swap_grant_ref, vm.arg(op).address, 1), 0);
        op = vm.out<abi::gnttab_swap_grant_ref>();
        ASSERT_TRUE(op.status == abi::GNTST_okay || op.status == abi::GNTST_eagain) << op.status;
        won += op.status == abi::GNTST_okay ? 1 : 0;
    });
    EXPECT_EQ((entry_v1(vm.domain(), REF).flags | entry_v1(vm.domain(), OTHER_REF).flags) & MARKS, 0u);
}

TEST_F(CoreRace, VersionChanges) {
    race([&] {
        const u32 version = vm.domain().grants.version == 2 ? 1 : 2;
        const auto arg = vm.arg(abi::gnttab_set_version{version});
        const auto status = vm.call(nucleus::do_grant_table_op, abi::GNTTABOP_set_version, arg.address, 1);
        ASSERT_TRUE(status == 0 || status == -abi::XEN_EBUSY) << status;
        if (status != 0)
            return;
        won++;
        if (version == 1) // the entry does not outlive the change; nobody may have left a mark in it
            entry_v1(vm.domain(), REF) = {abi::GTF_permit_access, 0, static_cast<u32>(frame.number)};
    });
}

} // namespace
} // namespace parapet::grants::test
