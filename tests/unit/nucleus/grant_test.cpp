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
    int16_t unmap(u32 handle, u64 host_addr) {
        return run(abi::GNTTABOP_unmap_grant_ref, abi::gnttab_unmap_grant_ref{host_addr, 0, handle, 0x77}).status;
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
    EXPECT_EQ(g.vm.domain().grants.nr_frames, 0u);
    g.vm.set_mapping_flags(LIST_PFN, 0);
    EXPECT_EQ(g.setup(1), abi::GNTST_bad_virt_addr);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_setup_table, 0x1000, 1), -abi::XEN_EFAULT);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_setup_table, g.vm.va(1).address, 2), -abi::XEN_EINVAL);
    EXPECT_EQ(g.vm.call(do_grant_table_op, abi::GNTTABOP_copy, g.vm.va(1).address, 0xffffffff), -abi::XEN_EINVAL);
    EXPECT_EQ(g.vm.call(do_grant_table_op, 99, g.vm.va(1).address, 1), -abi::XEN_ENOSYS);
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
    EXPECT_EQ(g.map(0, at, host, 0).status, abi::GNTST_bad_gntref);
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
    EXPECT_EQ(g.map(9, 0, abi::GNTMAP_device_map).status, abi::GNTST_no_space);
    EXPECT_EQ(g.run(abi::GNTTABOP_set_version, abi::gnttab_set_version{2}, -abi::XEN_EBUSY).version, 1u);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 10, 0}).status, abi::GNTST_eagain);
    EXPECT_EQ(g.unmap(5, 0), abi::GNTST_okay);
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
    EXPECT_EQ(c.copy(), abi::GNTST_permission_denied);
    EXPECT_EQ(c.vm.at<u64>(c.vm.l4_pfn()), old);
    c.op.dest.u.gmfn = 5;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_page);
    c.op.dest.u.gmfn = ~0ULL;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_page);
    c.op.dest.domid = 0; // a frame of Dom0
    EXPECT_EQ(c.copy(), abi::GNTST_permission_denied);
    c.op.flags = abi::GNTCOPY_dest_gref;
    EXPECT_EQ(c.copy(), abi::GNTST_bad_domain);
}

TEST(GrantTable, SwapTransferAndFlush) {
    Grants g;
    ASSERT_EQ(g.setup(1), abi::GNTST_okay);
    g.grant(9, 60);
    g.grant(10, 61, abi::GTF_readonly);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 10, 1}).status, abi::GNTST_okay);
    EXPECT_EQ(g.v1(9).frame, g.vm.mfn(61).number);
    EXPECT_EQ(g.v1(10).frame, g.vm.mfn(60).number);
    EXPECT_EQ(g.run(abi::GNTTABOP_swap_grant_ref, abi::gnttab_swap_grant_ref{9, 512, 1}).status, abi::GNTST_bad_gntref);
    EXPECT_EQ(g.run(abi::GNTTABOP_transfer, abi::gnttab_transfer64{g.vm.mfn(60).number, 3, 0, 1}).status,
              abi::GNTST_bad_domain);
    EXPECT_EQ(g.run(abi::GNTTABOP_transfer, abi::gnttab_transfer64{5, 3, 0, 1}).status, abi::GNTST_bad_page);
    abi::gnttab_cache_flush flush{{.dev_bus_addr = g.vm.mfn(60).address()}, 0, 64, abi::GNTTAB_CACHE_CLEAN};
    (void)g.run(abi::GNTTABOP_cache_flush, flush);
    flush.offset = 4095;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EINVAL);
    flush.offset = 0;
    flush.a.dev_bus_addr = 0;
    (void)g.run(abi::GNTTABOP_cache_flush, flush, -abi::XEN_EPERM);
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
