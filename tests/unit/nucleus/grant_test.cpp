// SPDX-License-Identifier: Apache-2.0
// grant_table_op: the table, its versions, and grants of the domain to itself.
#include <gtest/gtest.h>

#include <cstring>

#include "hypercall-emu/core/grant_table.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 LIST_PFN = 3;
constexpr u16 SELF = 7; ///< the domain's own number

struct Grants {
    FakeVm vm;

    template <typename Op>
    Op run(unsigned command, Op op, Status expected = 0, u64 count = 1) {
        const GuestVa arg = vm.arg(op);
        EXPECT_EQ(vm.call(do_grant_table_op, command, arg.address, count), expected);
        return vm.out<Op>();
    }
    int16_t setup(u32 frames, u16 dom = abi::DOMID_SELF) {
        return run(abi::GNTTABOP_setup_table, abi::gnttab_setup_table64{dom, frames, 0x77, vm.va(LIST_PFN).address})
            .status;
    }
    u64 listed(u64 index) { return vm.at<u64>(LIST_PFN, index * sizeof(u64)); }
    abi::grant_entry_v1& v1(u32 ref) {
        return reinterpret_cast<abi::grant_entry_v1*>(vm.frame(Mfn{vm.domain().grants.frames[ref / 512]}))[ref % 512];
    }
    abi::grant_entry_v2& v2(u32 ref) {
        return reinterpret_cast<abi::grant_entry_v2*>(vm.frame(Mfn{vm.domain().grants.frames[ref / 256]}))[ref % 256];
    }
    void grant(u32 ref, u64 pfn, u16 flags = 0, u16 dom = SELF) {
        v1(ref) = {static_cast<u16>(abi::GTF_permit_access | flags), dom, static_cast<u32>(vm.mfn(pfn).number)};
    }
    abi::gnttab_map_grant_ref map(u32 ref, u64 host_addr, u32 flags, u16 dom = SELF) {
        return run(abi::GNTTABOP_map_grant_ref, abi::gnttab_map_grant_ref{host_addr, flags, ref, dom, 0x77, 0, 0});
    }
    int16_t unmap(u32 handle, u64 host_addr, u64 bus_addr = 0) {
        return run(abi::GNTTABOP_unmap_grant_ref, abi::gnttab_unmap_grant_ref{host_addr, bus_addr, handle, 0x77})
            .status;
    }
    Pte& entry(u64 pfn) { return vm.at<Pte>(vm.l1_pfn(pfn), pfn % 512 * sizeof(Pte)); }
    Frame& frame(u64 pfn) { return vm.domain().frames[vm.mfn(pfn)]; }
};

TEST(GrantTable, SetupGivesFramesThatTheGuestMayMap) {
    Grants g;
    ASSERT_EQ(g.setup(2), abi::GNTST_okay);
    EXPECT_NE(g.listed(0), g.listed(1));
    for (const u64 i : {0, 1}) {
        EXPECT_EQ(g.vm.domain().frames[Mfn{g.listed(i)}].owner(), FrameOwner::shared);
        EXPECT_EQ(update_entry(g.vm.vcpu(), g.vm.mfn(g.vm.l1_pfn(200 + i)), static_cast<unsigned>(200 + i),
                               Pte::make({g.listed(i)}, Pte::PRESENT | Pte::RW | Pte::USER), false),
                  0);
    }
    const u64 first = g.listed(0);
    ASSERT_EQ(g.setup(1), abi::GNTST_okay); // asking again changes nothing
    EXPECT_EQ(g.listed(0), first);
    const auto size = g.run(abi::GNTTABOP_query_size, abi::gnttab_query_size{abi::DOMID_SELF, 0, 0, 0x77});
    EXPECT_EQ(size.status, abi::GNTST_okay);
    EXPECT_EQ(size.nr_frames, 2u);
    EXPECT_EQ(size.max_nr_frames, 64u);
}

TEST(GrantTable, SetupRefusals) {
    Grants g;
    EXPECT_EQ(g.setup(65), abi::GNTST_general_error);
    EXPECT_EQ(g.setup(~0u), abi::GNTST_general_error);
    EXPECT_EQ(g.setup(1, 0), abi::GNTST_permission_denied);
    EXPECT_EQ(g.setup(1, 99), abi::GNTST_bad_domain);
    EXPECT_EQ(g.vm.domain().grants.nr_frames, 1u) << "the one it starts with";
    g.vm.set_mapping_flags(LIST_PFN, 0);
    EXPECT_EQ(g.setup(1), abi::GNTST_bad_virt_addr);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_setup_table, 0x1000, 1), -abi::XEN_EFAULT);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_setup_table, g.vm.va(1).address, 2), -abi::XEN_EINVAL);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_copy, g.vm.va(1).address, 0xffffffff), -abi::XEN_EINVAL);
    EXPECT_EQ(g.vm.call(do_grant_table_op, 99, g.vm.va(1).address, 1), -abi::XEN_ENOSYS);
    EXPECT_EQ(g.vm.call(do_grant_table_op, 0x1000 | abi::GNTTABOP_copy, g.vm.va(1).address, 1), -abi::XEN_EINVAL);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_copy, HOLE_START, 0), -abi::XEN_EFAULT);
    (void)g.run(abi::GNTTABOP_setup_table, abi::gnttab_setup_table64{abi::DOMID_SELF, 1, 0x77, HOLE_START},
                -abi::XEN_EFAULT);
    g.vm.domain().pool_next = g.vm.domain().pool_end; // nothing left
    EXPECT_EQ(g.setup(5), abi::GNTST_general_error);
}

TEST(GrantTable, Versions) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(0, 50, abi::GTF_writing, 0); // the console page, in use by Dom0
    g.grant(20, 60);
    EXPECT_EQ(g.run(abi::GNTTABOP_get_version, abi::gnttab_get_version{abi::DOMID_SELF, 0, 0}).version, 1u);
    EXPECT_EQ(g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{2}).version, 2u);
    EXPECT_EQ(g.v2(0).full_page.frame, g.vm.mfn(50).number);
    EXPECT_EQ(g.v2(0).hdr.flags, abi::GTF_permit_access);
    EXPECT_EQ(entry_status(g.vm.domain(), 0), abi::GTF_writing);
    EXPECT_EQ(g.v2(20).hdr.flags, 0); // the others are gone

    auto status = abi::gnttab_get_status_frames64{1, abi::DOMID_SELF, 0x77, g.vm.va(LIST_PFN).address};
    EXPECT_EQ(g.run(abi::GNTTABOP_get_status_frames, status).status, abi::GNTST_okay);
    EXPECT_EQ(g.vm.domain().frames[Mfn{g.listed(0)}].owner(), FrameOwner::shared);
    status.nr_frames = 2;
    EXPECT_EQ(g.run(abi::GNTTABOP_get_status_frames, status).status, abi::GNTST_general_error);
    ASSERT_EQ(g.setup(9), abi::GNTST_okay); // 9 * 256 entries: two status frames
    EXPECT_EQ(g.run(abi::GNTTABOP_get_status_frames, status).status, abi::GNTST_okay);

    EXPECT_EQ(g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{1}).version, 1u);
    EXPECT_EQ(g.v1(0).frame, g.vm.mfn(50).number);
    EXPECT_EQ(g.v1(0).flags, abi::GTF_permit_access | abi::GTF_writing);
    EXPECT_EQ(g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{3}, -abi::XEN_EINVAL).version, 1u);
    EXPECT_EQ(g.run(abi::GNTTABOP_get_status_frames, status).status, abi::GNTST_general_error);
}

TEST(GrantTable, MapAndUnmapOfOnesOwn) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    const u64 references = g.frame(60).references();
    const u64 at = g.vm.va(70).address;
    const auto mapped = g.map(9, at, abi::GNTMAP_host_map);
    ASSERT_EQ(mapped.status, abi::GNTST_okay);
    EXPECT_EQ(g.entry(70).mfn(), g.vm.mfn(60));
    EXPECT_TRUE(g.entry(70).writable());
    EXPECT_EQ(g.frame(60).references(), references + 1);
    EXPECT_EQ(g.v1(9).flags, abi::GTF_permit_access | abi::GTF_reading | abi::GTF_writing);
    EXPECT_EQ(mapped.dev_bus_addr, g.vm.mfn(60).address());

    EXPECT_EQ(g.unmap(mapped.handle, at + PAGE_SIZE), abi::GNTST_general_error);
    EXPECT_EQ(g.unmap(mapped.handle + 1, at), abi::GNTST_bad_handle);
    EXPECT_EQ(g.unmap(~0u, at), abi::GNTST_bad_handle);
    EXPECT_EQ(g.unmap(mapped.handle, at), abi::GNTST_okay);
    EXPECT_EQ(g.entry(70).raw, 0u);
    EXPECT_EQ(g.frame(60).references(), references);
    EXPECT_EQ(g.v1(9).flags, abi::GTF_permit_access);
    EXPECT_EQ(g.unmap(mapped.handle, at), abi::GNTST_bad_handle);
}

TEST(GrantTable, MapByEntryReadOnlyAndTwice) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60, abi::GTF_readonly);
    const u64 slot = g.vm.mfn(g.vm.l1_pfn(70)).address() + 70 * sizeof(Pte);
    const u32 flags = abi::GNTMAP_host_map | abi::GNTMAP_contains_pte | abi::GNTMAP_readonly;
    EXPECT_EQ(g.map(9, slot, abi::GNTMAP_host_map | abi::GNTMAP_contains_pte).status, abi::GNTST_general_error);
    const auto first = g.map(9, slot, flags);
    ASSERT_EQ(first.status, abi::GNTST_okay);
    EXPECT_FALSE(g.entry(70).writable());
    const auto second = g.map(9, g.vm.va(71).address, abi::GNTMAP_host_map | abi::GNTMAP_readonly);
    ASSERT_EQ(second.status, abi::GNTST_okay);
    EXPECT_NE(first.handle, second.handle);
    ASSERT_EQ(g.unmap(first.handle, slot), abi::GNTST_okay);
    EXPECT_EQ(g.v1(9).flags & abi::GTF_reading, abi::GTF_reading);
    ASSERT_EQ(g.unmap(second.handle, g.vm.va(71).address), abi::GNTST_okay);
    EXPECT_EQ(g.v1(9).flags & (abi::GTF_reading | abi::GTF_writing), 0);
}

TEST(GrantTable, MapRefusals) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    const u64 at = g.vm.va(70).address;
    const u64 old = g.entry(70).raw;
    const u32 host = abi::GNTMAP_host_map;
    EXPECT_EQ(g.map(9, at, host).status, abi::GNTST_general_error); // no entry
    EXPECT_EQ(g.map(512, at, host).status, abi::GNTST_bad_gntref);
    EXPECT_EQ(g.map(~0u, at, host).status, abi::GNTST_bad_gntref);
    EXPECT_EQ(g.map(0, at, host, 0).status, abi::GNTST_general_error); // Dom0 grants nothing
    EXPECT_EQ(g.map(512, at, host, 0).status, abi::GNTST_bad_gntref);
    EXPECT_EQ(g.map(0, at, host, 99).status, abi::GNTST_bad_domain);
    g.grant(9, 60);
    EXPECT_EQ(g.map(9, at, 0).status, abi::GNTST_bad_gntref);
    EXPECT_EQ(g.map(9, HOLE_START, host).status, abi::GNTST_general_error);
    EXPECT_EQ(g.map(9, 0x1000, host).status, abi::GNTST_general_error);
    const u32 by_entry = host | abi::GNTMAP_contains_pte;
    EXPECT_EQ(g.map(9, g.vm.mfn(100).address(), by_entry).status, abi::GNTST_general_error); // no table
    EXPECT_EQ(g.map(9, g.vm.mfn(g.vm.l2_pfn()).address(), by_entry).status, abi::GNTST_general_error);
    EXPECT_EQ(g.map(9, FakeVm::STUB_ROOT_MFN * PAGE_SIZE, by_entry).status, abi::GNTST_general_error);
    EXPECT_EQ(g.map(9, ~7ULL, by_entry).status, abi::GNTST_general_error);
    g.grant(9, 60, 0, 0); // to Dom0, not to itself
    EXPECT_EQ(g.map(9, at, host).status, abi::GNTST_general_error);
    g.grant(9, g.vm.l4_pfn()); // a page table, writable
    EXPECT_EQ(g.map(9, at, host).status, abi::GNTST_general_error);
    g.v1(9) = {abi::GTF_permit_access, SELF, FakeVm::SHARED_INFO_MFN};
    EXPECT_EQ(g.map(9, at, host).status, abi::GNTST_bad_page);
    g.v1(9) = {abi::GTF_permit_access, SELF, 0xffffffff};
    EXPECT_EQ(g.map(9, at, host).status, abi::GNTST_bad_page);
    EXPECT_EQ(g.entry(70).raw, old);
    EXPECT_FALSE(grant_is_mapped(g.vm.domain().grants, 9));
}

TEST(GrantTable, HandlesRunOut) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    for (u32 i = 0; i < GrantTable::MAX_MAPPINGS; i++)
        ASSERT_EQ(g.map(9, 0, abi::GNTMAP_device_map).status, abi::GNTST_okay);
    EXPECT_EQ(g.map(9, 0, abi::GNTMAP_device_map).status, abi::GNTST_no_device_space);
    EXPECT_EQ(g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{2}, -abi::XEN_EBUSY).version, 1u);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 10, 0}).status, abi::GNTST_eagain);
    EXPECT_EQ(g.unmap(5, 0), abi::GNTST_okay); // neither of the two addresses: nothing to do
    EXPECT_EQ(g.unmap(5, 0, g.vm.mfn(61).address()), abi::GNTST_bad_dev_addr);
    EXPECT_EQ(g.unmap(5, 0, g.vm.mfn(60).address()), abi::GNTST_okay);
    EXPECT_EQ(g.unmap(5, 0, g.vm.mfn(60).address()), abi::GNTST_bad_handle);
    EXPECT_EQ(g.map(9, 0, abi::GNTMAP_device_map).handle, 5u);
}

TEST(GrantTable, UnmapAndReplace) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    const auto mapped = g.map(9, g.vm.va(70).address, abi::GNTMAP_host_map);
    ASSERT_EQ(mapped.status, abi::GNTST_okay);
    const auto done = g.run(abi::GNTTABOP_unmap_and_replace,
                            abi::gnttab_unmap_and_replace{g.vm.va(70).address, g.vm.va(80).address, mapped.handle, 1});
    EXPECT_EQ(done.status, abi::GNTST_okay);
    EXPECT_EQ(g.entry(70).mfn(), g.vm.mfn(80));
    EXPECT_EQ(g.entry(80).raw, 0u);
    EXPECT_EQ(g.frame(80).references(), 1u);
}

TEST(GrantTable, UnmapAndReplaceRefusals) {
    Grants g;
    g.grant(9, 60);
    const u64 at = g.vm.va(70).address;
    const auto mapped = g.map(9, at, abi::GNTMAP_host_map);
    ASSERT_EQ(mapped.status, abi::GNTST_okay);
    const auto replace = [&](u64 host_addr, u64 new_addr, u32 handle) {
        return g.run(abi::GNTTABOP_unmap_and_replace, abi::gnttab_unmap_and_replace{host_addr, new_addr, handle, 1})
            .status;
    };
    const u64 kept = g.entry(80).raw;
    EXPECT_EQ(replace(at, g.vm.va(80).address, mapped.handle + 1), abi::GNTST_bad_handle);
    EXPECT_EQ(replace(at, HOLE_START, mapped.handle), abi::GNTST_general_error);
    EXPECT_EQ(replace(at, at, mapped.handle), abi::GNTST_general_error);
    EXPECT_EQ(replace(g.vm.va(71).address, g.vm.va(80).address, mapped.handle), abi::GNTST_general_error);
    EXPECT_EQ(g.entry(80).raw, kept);
    EXPECT_EQ(g.entry(70).mfn(), g.vm.mfn(60));
    EXPECT_EQ(replace(at, 0, mapped.handle), abi::GNTST_okay); // as unmap
    EXPECT_EQ(g.entry(70).raw, 0u);
}

/// What was mapped is unmapped, whatever has become of the entry meanwhile.
TEST(GrantTable, UnmapOfARevokedGrant) {
    Grants g;
    g.grant(9, 60);
    const u64 at = g.vm.va(70).address;
    const auto mapped = g.map(9, at, abi::GNTMAP_host_map | abi::GNTMAP_device_map);
    ASSERT_EQ(mapped.status, abi::GNTST_okay);
    const u64 references = g.frame(60).references();
    g.v1(9) = {};
    EXPECT_EQ(g.unmap(mapped.handle, at), abi::GNTST_okay);
    EXPECT_EQ(g.entry(70).raw, 0u);
    EXPECT_EQ(g.frame(60).references(), references - 1);
    EXPECT_TRUE(grant_is_mapped(g.vm.domain().grants, 9)) << "for a device still";
    EXPECT_EQ(g.unmap(mapped.handle, 0, mapped.dev_bus_addr), abi::GNTST_okay);
    EXPECT_EQ(g.frame(60).references(), references - 2);
    EXPECT_FALSE(grant_is_mapped(g.vm.domain().grants, 9));
}

TEST(GrantTable, DeviceMappingHoldsTheFrame) {
    Grants g;
    g.grant(9, 60);
    ASSERT_EQ(g.map(9, 0, abi::GNTMAP_device_map).status, abi::GNTST_okay);
    ASSERT_EQ(g.vm.call(do_update_va_mapping, g.vm.va(60).address, 0, 0), 0);
    fill_bytes(g.vm.frame(g.vm.mfn(60)), 0, PAGE_SIZE);
    EXPECT_EQ(pin_table(g.vm.vcpu(), g.vm.mfn(60), FrameType::l1), -abi::XEN_EINVAL);
    ASSERT_EQ(g.unmap(0, 0, g.vm.mfn(60).address()), abi::GNTST_okay);
    EXPECT_EQ(pin_table(g.vm.vcpu(), g.vm.mfn(60), FrameType::l1), 0);
    EXPECT_EQ(g.map(9, 0, abi::GNTMAP_device_map).status, abi::GNTST_general_error);
    EXPECT_EQ(g.map(9, 0, abi::GNTMAP_device_map | abi::GNTMAP_readonly).status, abi::GNTST_okay);
}

TEST(GrantTable, StartsWithTheRingsGranted) {
    FakeVm vm;
    vm.domain().grants = {};
    start_grant_table(vm.domain(), vm.mfn(200), vm.mfn(201));
    EXPECT_EQ(vm.domain().grants.nr_frames, 1u);
    EXPECT_EQ(vm.mailbox().grants.nr_frames, 1u);
    EXPECT_EQ(vm.mailbox().grants.frames[0], vm.domain().grants.frames[0]);
    EXPECT_EQ(entry_v1(vm.domain(), abi::GNTTAB_RESERVED_CONSOLE).frame, vm.mfn(200).number);
    EXPECT_EQ(entry_v1(vm.domain(), abi::GNTTAB_RESERVED_XENSTORE).frame, vm.mfn(201).number);
    EXPECT_EQ(entry_v1(vm.domain(), 0).flags, abi::GTF_permit_access);
    EXPECT_EQ(entry_v1(vm.domain(), 2).flags, abi::GTF_invalid);
}

TEST(GrantTable, ReservedEntriesThatVersion1CannotExpress) {
    Grants g;
    const auto set_version = [&](u32 version, Status expected) {
        return g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{version}, expected).version;
    };
    g.v1(3) = {abi::GTF_accept_transfer, 0, 50}; // goes as it is
    EXPECT_EQ(set_version(2, 0), 2u);
    EXPECT_EQ(g.v2(3).hdr.flags, abi::GTF_accept_transfer);
    g.v2(4).full_page = {{abi::GTF_permit_access, 0}, 0, 1ULL << 32};
    EXPECT_EQ(set_version(1, -abi::XEN_ERANGE), 2u);
    g.v2(4).transitive = {{abi::GTF_transitive, 0}, 1, 0, 5};
    EXPECT_EQ(set_version(1, -abi::XEN_ERANGE), 2u);
    g.v2(4).full_page = {{abi::GTF_permit_access | abi::GTF_readonly, 0}, 0, 77};
    const u64 status = g.vm.domain().grants.status_frames[0];
    ASSERT_TRUE(acquire_frame(g.vm.domain(), Mfn{status})); // the guest has it mapped
    EXPECT_EQ(set_version(1, -abi::XEN_EBUSY), 2u);
    release_frame(g.vm.domain(), Mfn{status});
    EXPECT_EQ(set_version(1, 0), 1u);
    EXPECT_EQ(g.v1(3).flags, abi::GTF_invalid);
    EXPECT_EQ(g.v1(4).flags, abi::GTF_permit_access | abi::GTF_readonly);
    EXPECT_EQ(g.v1(4).frame, 77u);
}

struct Transfer : Grants {
    explicit Transfer(u32 version) {
        (void)run(abi::GNTTABOP_set_version, abi::gnttab_set_version{version});
        EXPECT_EQ(vm.call(do_update_va_mapping, vm.va(60).address, 0, 0), 0);
        vm.at<u64>(60) = 0x600d;
    }
    int16_t give(u64 mfn, u16 domid, u32 ref) {
        return run(abi::GNTTABOP_transfer, abi::gnttab_transfer64{mfn, domid, ref, 1}).status;
    }
};

TEST(GrantTransfer, ToItself) {
    for (const u32 version : {1u, 2u}) {
        Transfer t{version};
        u16& flags = version == 2 ? t.v2(9).hdr.flags : t.v1(9).flags;
        if (version == 2)
            t.v2(9).full_page = {{abi::GTF_accept_transfer, SELF}, 0, 333};
        else
            t.v1(9) = {abi::GTF_accept_transfer, SELF, 333};
        const u64 pages = t.vm.domain().nr_pages;
        EXPECT_EQ(t.give(t.vm.mfn(61).number, SELF, 9), abi::GNTST_bad_page) << "still mapped";
        ASSERT_EQ(t.give(t.vm.mfn(60).number, SELF, 9), abi::GNTST_okay);
        EXPECT_EQ(flags, abi::GTF_accept_transfer | abi::GTF_transfer_committed | abi::GTF_transfer_completed);
        EXPECT_EQ(version == 2 ? t.v2(9).full_page.frame : t.v1(9).frame, t.vm.mfn(60).number);
        EXPECT_EQ(t.vm.domain().m2p[t.vm.mfn(60).number], 333u);
        EXPECT_TRUE(t.vm.domain().frames.domain_owns(t.vm.mfn(60)));
        EXPECT_EQ(t.vm.domain().nr_pages, pages);
        EXPECT_EQ(t.vm.domain().machine->mailbox->counters.frames_owned, pages);
        EXPECT_EQ(t.vm.at<u64>(60), 0x600du);
    }
}

TEST(GrantTransfer, NobodyAcceptsAndTheFrameIsLost) {
    const struct {
        u16 domid;
        u32 ref;
        int16_t status;
    } cases[] = {{99, 0, abi::GNTST_bad_domain},
                 {abi::DOMID_SELF, 9, abi::GNTST_bad_domain}, // not by that name
                 {0, 0, abi::GNTST_general_error},
                 {SELF, 10, abi::GNTST_general_error},
                 {SELF, 512, abi::GNTST_general_error}};
    for (const auto& one : cases) {
        Transfer t{1};
        t.v1(9) = {abi::GTF_accept_transfer, SELF, 333};
        t.v1(10) = {abi::GTF_accept_transfer, 0, 333};
        const u64 pages = t.vm.domain().nr_pages;
        EXPECT_EQ(t.give(t.vm.mfn(60).number, one.domid, one.ref), one.status);
        EXPECT_FALSE(t.vm.domain().frames.domain_owns(t.vm.mfn(60)));
        EXPECT_EQ(t.vm.domain().nr_pages, pages - 1);
        EXPECT_EQ(t.vm.domain().machine->mailbox->counters.frames_owned, pages - 1) << "what `parapet list` shows";
        EXPECT_EQ(t.vm.machine.requests.back().kind, doorbell::Request::release);
        EXPECT_EQ(t.give(t.vm.mfn(60).number, SELF, 9), abi::GNTST_bad_page);
        EXPECT_EQ(t.give(5, SELF, 9), abi::GNTST_bad_page);
    }
}

// ---- copy ----

struct Copy : Grants {
    abi::gnttab_copy64 op{};

    Copy() {
        EXPECT_EQ(setup(1), abi::GNTST_okay);
        op.source = {{.gmfn = vm.mfn(90).number}, abi::DOMID_SELF, 0};
        op.dest = {{.gmfn = vm.mfn(91).number}, abi::DOMID_SELF, 0};
        op.len = PAGE_SIZE;
        for (u64 i = 0; i < PAGE_SIZE; i++)
            vm.at<u8>(90, i) = static_cast<u8>(i * 7 + i / 256);
    }
    int16_t copy() { return run(abi::GNTTABOP_copy, op).status; }
};

TEST(GrantCopy, BetweenPages) {
    Copy c;
    ASSERT_EQ(c.copy(), abi::GNTST_okay);
    EXPECT_EQ(std::memcmp(&c.vm.at<u8>(90), &c.vm.at<u8>(91), PAGE_SIZE), 0);
    EXPECT_EQ(c.frame(91).type_count(), 1u); // its own mapping's
    c.op.source.offset = 100;
    c.op.dest.offset = 4000;
    c.op.len = 96;
    ASSERT_EQ(c.copy(), abi::GNTST_okay);
    EXPECT_EQ(std::memcmp(&c.vm.at<u8>(90, 100), &c.vm.at<u8>(91, 4000), 96), 0);
}

TEST(GrantCopy, ByReference) {
    Copy c;
    c.grant(10, 90, abi::GTF_readonly);
    c.grant(11, 91);
    c.op.flags = abi::GNTCOPY_source_gref | abi::GNTCOPY_dest_gref;
    c.op.source.u.ref = 10;
    c.op.dest.u.ref = 11;
    ASSERT_EQ(c.copy(), abi::GNTST_okay);
    EXPECT_EQ(std::memcmp(&c.vm.at<u8>(90), &c.vm.at<u8>(91), PAGE_SIZE), 0);
    c.op.dest.u.ref = 10; // read-only
    EXPECT_EQ(c.copy(), abi::GNTST_general_error);
    c.op.dest.u.ref = 600;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_gntref);
}

TEST(GrantCopy, PartOfAPageOfVersion2) {
    Copy c;
    ASSERT_EQ(c.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{2}).version, 2u);
    c.v2(10).sub_page = {{abi::GTF_permit_access | abi::GTF_sub_page, SELF}, 100, 50, c.vm.mfn(90).number};
    c.op.flags = abi::GNTCOPY_source_gref;
    c.op.source.u.ref = 10;
    c.op.source.offset = 100;
    c.op.len = 50;
    EXPECT_EQ(c.copy(), abi::GNTST_okay);
    EXPECT_EQ(std::memcmp(&c.vm.at<u8>(90, 100), &c.vm.at<u8>(91), 50), 0);
    c.op.len = 51;
    EXPECT_EQ(c.copy(), abi::GNTST_general_error);
    c.op.len = 50;
    c.op.source.offset = 99;
    EXPECT_EQ(c.copy(), abi::GNTST_general_error);
    EXPECT_EQ(c.map(10, c.vm.va(70).address, abi::GNTMAP_host_map).status, abi::GNTST_general_error);
}

TEST(GrantCopy, Refusals) {
    Copy c;
    c.op.len = PAGE_SIZE;
    c.op.dest.offset = 1;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_copy_arg);
    c.op.dest.offset = 0;
    c.op.len = 0xffff;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_copy_arg);
    c.op.len = 8;
    c.op.dest.u.gmfn = c.vm.mfn(c.vm.l4_pfn()).number; // never a page table
    const u64 old = c.vm.at<u64>(c.vm.l4_pfn());
    EXPECT_EQ(c.copy(), abi::GNTST_general_error);
    EXPECT_EQ(c.vm.at<u64>(c.vm.l4_pfn()), old);
    c.op.dest.u.gmfn = 5;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_page);
    c.op.dest.u.gmfn = ~0ULL;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_page);
    c.op.dest.domid = 0; // a frame of Dom0
    EXPECT_EQ(c.copy(), abi::GNTST_permission_denied);
    c.op.dest.domid = 99;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_domain);
    c.op.dest.domid = 0;
    c.op.flags = abi::GNTCOPY_dest_gref;
    c.op.dest.u.ref = 0;
    EXPECT_EQ(c.copy(), abi::GNTST_general_error); // a grant of Dom0: there is none
    c.op.dest.u.ref = 512;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_gntref);
    c.op.dest.domid = 99;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_domain);
}

TEST(GrantTable, SwapAndFlush) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    g.grant(10, 61, abi::GTF_readonly);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 10, 1}).status, abi::GNTST_okay);
    EXPECT_EQ(g.v1(9).frame, g.vm.mfn(61).number);
    EXPECT_EQ(g.v1(10).frame, g.vm.mfn(60).number);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 512, 1}).status, abi::GNTST_bad_gntref);
    abi::gnttab_cache_flush flush{{.dev_bus_addr = g.vm.mfn(60).address()}, 0, 64, abi::GNTTAB_CACHE_CLEAN};
    (void)g.run(abi::GNTTABOP_cache_flush, flush);
    flush.offset = 4095;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EINVAL);
    flush.offset = 0;
    flush.op = abi::GNTTAB_CACHE_INVAL;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EOPNOTSUPP);
    flush.op = abi::GNTTAB_CACHE_INVAL | abi::GNTTAB_CACHE_CLEAN;
    (void)g.run(abi::GNTTABOP_cache_flush, flush);
    flush.a.dev_bus_addr = 0;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EPERM);
    flush.a.dev_bus_addr = ~0ULL;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EINVAL);
    flush.a.ref = 9;
    flush.op = abi::GNTTAB_CACHE_SOURCE_GREF | abi::GNTTAB_CACHE_CLEAN;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EINVAL);
    flush.length = 0;
    flush.op = abi::GNTTAB_CACHE_CLEAN;
    (void)g.run(abi::GNTTABOP_cache_flush, flush); // nothing to do
}

TEST(GrantTable, ArraysStopForEventsAndAtBadMemory) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    const abi::gnttab_swap_grant_ref op{9, 10, 1};
    for (u64 i = 0; i < 3; i++)
        (void)g.vm.arg(op, 5, i * sizeof(op));
    Vcpu& vcpu = g.vm.vcpu();
    vcpu.irq_bits = Vcpu::IRQ_WAKE;
    vcpu.preempted = false;
    (void)g.vm.call(do_grant_table_op, abi::GNTTABOP_swap_grant_ref, g.vm.va(5).address, 3);
    ASSERT_TRUE(vcpu.preempted);
    EXPECT_EQ(vcpu.continuation.a[1], g.vm.va(5, sizeof(op)).address);
    EXPECT_EQ(vcpu.continuation.a[2], 2u);
    EXPECT_EQ(g.v1(10).frame, g.vm.mfn(60).number); // one swap
    vcpu.irq_bits = 0;
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_swap_grant_ref, g.vm.va(5).address, 0), 0);
    g.vm.set_mapping_flags(6, 0);
    (void)g.vm.arg(op, 5, PAGE_SIZE - sizeof(op));
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_swap_grant_ref, g.vm.va(5, PAGE_SIZE - sizeof(op)).address, 2),
              -abi::XEN_EFAULT);
}

} // namespace
} // namespace parapet::nucleus::test
