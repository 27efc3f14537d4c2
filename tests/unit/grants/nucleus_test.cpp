// SPDX-License-Identifier: Apache-2.0
// Both sides together: HostGrants on the memory of a guest that the nucleus's core runs.
#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "iorings/grants/host_grants.hpp"
#include "pv-abi/memory.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

#include <gtest/gtest.h>

namespace parapet::grants::test {
namespace {

using nucleus::FrameType;
using nucleus::GuestVa;
using nucleus::PAGE_SIZE;
using nucleus::u16;
using nucleus::u32;
using nucleus::u64;
using nucleus::test::FakeVm;

constexpr u64 list_pfn = 3, page_pfn = 60;
constexpr u16 marks = abi::GTF_reading | abi::GTF_writing;

struct Both : testing::Test {
    FakeVm vm;
    HostGrants grants{GuestFrames{reinterpret_cast<std::byte*>(vm.machine.directmap), vm.boot.max_mfn, vm.boot.max_mfn,
                                  vm.boot.max_mfn},
                      vm.mailbox(),
                      &vm.domain().frames[nucleus::Mfn{0}].word,
                      vm.host_use_array(),
                      vm.boot.max_mfn,
                      vm.boot.domain_first_mfn};
    Lease lease;

    template <typename Op>
    Op run(unsigned command, Op op, long expected = 0) {
        EXPECT_EQ(vm.call(nucleus::do_grant_table_op, command, vm.arg(op).address, 1), expected);
        return vm.out<Op>();
    }
    std::int16_t setup(u32 frames) {
        return run(abi::GNTTABOP_setup_table,
                   abi::gnttab_setup_table64{abi::DOMID_SELF, frames, 0x77, vm.va(list_pfn).address})
            .status;
    }
    long set_version(u32 version) {
        const auto arg = vm.arg(abi::gnttab_set_version{version});
        return vm.call(nucleus::do_grant_table_op, abi::GNTTABOP_set_version, arg.address, 1);
    }
    void grant(u32 ref, u64 pfn, unsigned flags = 0, u16 domid = 0) {
        const auto all = static_cast<u16>(abi::GTF_permit_access | flags);
        if (vm.domain().grants.version == 2) {
            entry_v2(vm.domain(), ref).full_page = {{all, domid}, 0, vm.mfn(pfn).number};
        } else {
            entry_v1(vm.domain(), ref) = {all, domid, static_cast<u32>(vm.mfn(pfn).number)};
        }
    }
    std::int16_t take(u32 ref, GrantAccess access = GrantAccess::write) {
        return static_cast<std::int16_t>(grants.take(GrantRef{ref}, access, lease));
    }
    /// Takes the guest's own mapping of a page away, and clears it: fit to be a table.
    void unmap(u64 pfn) {
        const GuestVa va = vm.va(pfn);
        nucleus::fill_bytes(vm.frame(vm.mfn(pfn)), 0, PAGE_SIZE);
        ASSERT_EQ(vm.call(nucleus::do_update_va_mapping, va.address, 0, 0), 0);
    }
    long pin(u64 pfn) { return nucleus::pin_table(vm.vcpu(), vm.mfn(pfn), FrameType::l1); }
    long decrease(u64 pfn) {
        vm.at<u64>(list_pfn) = vm.mfn(pfn).number;
        abi::xen_memory_reservation64 wanted{};
        wanted.extent_start = vm.va(list_pfn).address;
        wanted.nr_extents = 1;
        wanted.domid = abi::DOMID_SELF;
        return vm.call(nucleus::do_memory_op, abi::XENMEM_decrease_reservation, vm.arg(wanted).address);
    }
};

TEST_F(Both, TheWholeTableOfBothVersions) {
    for (const u32 version : {1U, 2U}) {
        ASSERT_EQ(set_version(version), 0);
        for (const u32 frames : {1U, 2U, 33U, 64U}) {
            ASSERT_EQ(setup(frames), abi::GNTST_okay);
            const u32 per_frame = version == 2 ? nucleus::GRANTS_PER_FRAME_V2 : nucleus::GRANTS_PER_FRAME_V1;
            const u32 last = frames * per_frame - 1;
            grant(last, page_pfn);
            ASSERT_EQ(take(last), abi::GNTST_okay) << "version " << version << ", " << frames << " frames";
            EXPECT_EQ(lease.mfn, vm.mfn(page_pfn).number);
            grants.give_back(lease);
        }
        EXPECT_EQ(take(64 * nucleus::GRANTS_PER_FRAME_V1), abi::GNTST_bad_gntref);
    }
    EXPECT_EQ(setup(65), abi::GNTST_general_error);
}

TEST_F(Both, NoVersionChangeUnderALease) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(set_version(2), -abi::XEN_EBUSY);
    EXPECT_EQ(set_version(1), 0); // no change
    EXPECT_EQ(entry_v1(vm.domain(), 9).flags, abi::GTF_permit_access | marks);
    grants.give_back(lease);
    EXPECT_EQ(set_version(2), 0);
    EXPECT_EQ(take(9), abi::GNTST_general_error); // the table is empty now
    grant(9, page_pfn);
    EXPECT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(set_version(1), -abi::XEN_EBUSY);
    EXPECT_EQ(entry_status(vm.domain(), 9), marks);
}

TEST_F(Both, AFrameThatTheHostWritesIsNoTable) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    unmap(page_pfn);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(pin(page_pfn), -abi::XEN_EINVAL);
    grants.give_back(lease);
    EXPECT_EQ(pin(page_pfn), 0);
    EXPECT_EQ(take(9), abi::GNTST_permission_denied);
    EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_okay);
    EXPECT_EQ(nucleus::unpin_table(vm.vcpu(), vm.mfn(page_pfn)), 0);
    EXPECT_EQ(pin(page_pfn), 0) << "reading does not keep it from being one";
}

TEST_F(Both, NorADescriptorPage) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    unmap(page_pfn);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(nucleus::acquire_type(vm.vcpu(), vm.mfn(page_pfn), FrameType::descriptor), -abi::XEN_EINVAL);
    grants.give_back(lease);
    EXPECT_EQ(nucleus::acquire_type(vm.vcpu(), vm.mfn(page_pfn), FrameType::descriptor), 0);
    EXPECT_EQ(take(9), abi::GNTST_permission_denied);
}

TEST_F(Both, AFrameThatTheHostWritesStaysTheDomains) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    unmap(page_pfn);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    EXPECT_EQ(decrease(page_pfn), 0);
    EXPECT_TRUE(vm.domain().frames.domain_owns(vm.mfn(page_pfn)));
    EXPECT_EQ(vm.domain().m2p[vm.mfn(page_pfn).number], page_pfn);
    grants.give_back(lease);
    EXPECT_EQ(decrease(page_pfn), 1);
    EXPECT_EQ(take(9), abi::GNTST_bad_page);
    EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_bad_page);
}

TEST_F(Both, NorIsItExchanged) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    unmap(page_pfn);
    unmap(page_pfn + 1);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    vm.at<u64>(list_pfn) = vm.mfn(page_pfn + 1).number;
    vm.at<u64>(list_pfn, 8) = vm.mfn(page_pfn).number;
    abi::xen_memory_exchange64 op{};
    op.in = {vm.va(list_pfn).address, 2, 0, 0, abi::DOMID_SELF};
    op.out = {vm.va(list_pfn, 64).address, 2, 0, 0, abi::DOMID_SELF};
    EXPECT_EQ(vm.call(nucleus::do_memory_op, abi::XENMEM_exchange, vm.arg(op).address), -abi::XEN_EINVAL);
    EXPECT_TRUE(vm.domain().frames.domain_owns(vm.mfn(page_pfn)));
    EXPECT_EQ(lease.page, reinterpret_cast<std::byte*>(vm.frame(vm.mfn(page_pfn))));
    grants.give_back(lease);
}

TEST_F(Both, EntriesInUseAreNotSwapped) {
    for (const u32 version : {1U, 2U}) {
        ASSERT_EQ(set_version(version), 0);
        ASSERT_EQ(setup(1), abi::GNTST_okay);
        grant(9, page_pfn);
        grant(10, page_pfn + 1);
        const auto swap = [&] {
            return run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 10, 1}).status;
        };
        ASSERT_EQ(take(10, GrantAccess::read), abi::GNTST_okay);
        EXPECT_EQ(swap(), abi::GNTST_eagain);
        grants.give_back(lease);
        EXPECT_EQ(swap(), abi::GNTST_okay);
        ASSERT_EQ(take(10), abi::GNTST_okay);
        EXPECT_EQ(lease.mfn, vm.mfn(page_pfn).number);
        EXPECT_EQ(swap(), abi::GNTST_eagain);
        grants.give_back(lease);
    }
}

/// A mapping of the domain's own and a use by the host, of different references, leave each other's marks alone.
TEST_F(Both, MarksOfBothSides) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    grant(9, page_pfn);
    grant(10, page_pfn, 0, 7);
    ASSERT_EQ(take(9), abi::GNTST_okay);
    abi::gnttab_map_grant_ref map{vm.va(70).address, abi::GNTMAP_host_map, 10, 7, 1, 0, 0};
    map = run(abi::GNTTABOP_map_grant_ref, map);
    ASSERT_EQ(map.status, abi::GNTST_okay);
    EXPECT_EQ(take(10), abi::GNTST_general_error);
    EXPECT_EQ(entry_v1(vm.domain(), 10).flags & marks, marks);
    const auto unmapped =
        run(abi::GNTTABOP_unmap_grant_ref, abi::gnttab_unmap_grant_ref{vm.va(70).address, 0, map.handle, 1});
    EXPECT_EQ(unmapped.status, abi::GNTST_okay);
    EXPECT_EQ(entry_v1(vm.domain(), 9).flags & marks, marks);
}

TEST_F(Both, FramesOfTheNucleusAreNotGranted) {
    ASSERT_EQ(setup(1), abi::GNTST_okay);
    for (const u64 mfn : {u64{FakeVm::SHARED_INFO_MFN}, u64{FakeVm::STUB_ROOT_MFN}, u64{FakeVm::POOL_FIRST_MFN},
                          FakeVm::FIRST_MFN - 1, vm.boot.max_mfn - 1, vm.boot.max_mfn}) {
        entry_v1(vm.domain(), 9) = {abi::GTF_permit_access, 0, static_cast<u32>(mfn)};
        EXPECT_EQ(take(9, GrantAccess::read), abi::GNTST_bad_page) << mfn;
        EXPECT_EQ(take(9), abi::GNTST_bad_page) << mfn;
    }
    grant(9, vm.l4_pfn());
    EXPECT_EQ(take(9), abi::GNTST_permission_denied);
}

} // namespace
} // namespace parapet::grants::test
