// SPDX-License-Identifier: Apache-2.0
// memory_op: the balloon, exchange, and the queries that kernels make at start.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "hypercall-emu/core/free_frames.hpp"
#include "hypercall-emu/core/guest_memory.hpp"
#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/memory.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr u64 LIST_PFN = 3; ///< the extent list; with 512 entries a page
constexpr u64 SPARE = 64;

/// A domain whose spare memory is on the free list.
struct Balloon {
    FakeVm vm{{.spare_pages = SPARE}};

    Balloon() {
        if (vm.domain().nr_free == 0) {
            for (u64 i = SPARE; i-- > 0;)
                add_free_frame(vm.domain(), {FakeVm::FIRST_MFN + 512 + i});
        }
    }

    Status call(unsigned command, u64 extents, u32 order = 0, u64 start = 0, u32 flags = 0,
                u16 domid = abi::DOMID_SELF) {
        const abi::xen_memory_reservation64 op{vm.va(LIST_PFN).address, extents, order, flags, domid};
        return vm.call(do_memory_op, command | start << abi::MEMOP_EXTENT_SHIFT, vm.arg(op).address);
    }
    u64& list(u64 index) { return vm.at<u64>(LIST_PFN, index * sizeof(u64)); }
    /// Take the mapping of `pfn` away, as a balloon driver does, and give its frame back in the list.
    void offer(u64 index, u64 pfn) {
        list(index) = vm.mfn(pfn).number;
        EXPECT_EQ(update_entry(vm.vcpu(), vm.mfn(vm.l1_pfn(pfn)), pfn % 512, Pte{}, false), 0);
    }
    [[nodiscard]] std::vector<u64> requested(doorbell::Request kind) const {
        std::vector<u64> frames;
        for (const RequestRecord& record : vm.machine.requests) {
            if (record.kind == kind)
                frames.insert(frames.end(), record.frames.begin(), record.frames.end());
        }
        return frames;
    }
    Domain& domain() { return vm.domain(); }
    u64& m2p(u64 mfn) { return vm.domain().m2p[mfn]; }
};

TEST(Balloon, DecreaseGivesMemoryToTheHost) {
    Balloon b;
    std::set<u64> given;
    for (u64 i = 0; i < 5; i++) {
        b.offer(i, 100 + i);
        given.insert(b.list(i));
    }
    (void)b.vm.take_work();
    ASSERT_EQ(b.call(abi::XENMEM_decrease_reservation, 5), 5);
    EXPECT_EQ(b.domain().nr_pages, 507u);
    EXPECT_EQ(b.domain().nr_free, SPARE + 5);
    const std::vector<u64> released = b.requested(doorbell::Request::release);
    EXPECT_EQ(std::set<u64>(released.begin(), released.end()), given);
    EXPECT_EQ(released.size(), 5u);
    for (const u64 mfn : given) {
        EXPECT_EQ(b.m2p(mfn), INVALID_M2P);
        EXPECT_EQ(b.domain().frames[Mfn{mfn}].owner(), FrameOwner::free);
        EXPECT_FALSE(b.domain().frames.guest_may_map(Mfn{mfn}));
    }
    // The dropped mappings were writable: no TLB may keep them.
    EXPECT_NE(b.vm.take_work().flags & ExitWork::FLUSH_TLB, 0u);
    EXPECT_EQ(b.vm.mailbox().counters.frames_released, 5u);
}

TEST(Balloon, DecreaseStopsAtAFrameThatIsInUse) {
    Balloon b;
    b.offer(0, 100);
    b.list(1) = b.vm.mfn(101).number; // still mapped
    b.offer(2, 102);
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 3), 1);
    EXPECT_EQ(b.domain().nr_pages, 511u);
    EXPECT_TRUE(b.domain().frames.domain_owns(b.vm.mfn(102)));
}

TEST(Balloon, DecreaseOfAFrameThatIsMappedReadOnly) {
    Balloon b;
    ASSERT_EQ(update_entry(b.vm.vcpu(), b.vm.mfn(b.vm.l1_pfn(100)), 100,
                           Pte::make(b.vm.mfn(100), Pte::PRESENT | Pte::USER), false),
              0);
    b.list(0) = b.vm.mfn(100).number;
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1), 0);
    EXPECT_TRUE(b.domain().frames.domain_owns(b.vm.mfn(100)));
}

TEST(Balloon, DecreaseOfWhatIsNotTheDomains) {
    Balloon b;
    constexpr u64 others[] = {FakeVm::SHARED_INFO_MFN, 5, ~0ULL, 1ULL << 40, FakeVm::FIRST_MFN + 512};
    for (const u64 mfn : others) {
        b.list(0) = mfn;
        EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1), 0) << mfn;
    }
    b.list(0) = b.vm.mfn(b.vm.l4_pfn()).number; // a page table
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1), 0);
    EXPECT_EQ(b.domain().nr_pages, 512u);
    b.offer(0, 100);
    b.list(1) = b.list(0); // twice the same
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 2), 1);
}

TEST(Balloon, PopulateTakesItBack) {
    Balloon b;
    b.offer(0, 100);
    ASSERT_EQ(b.call(abi::XENMEM_decrease_reservation, 1), 1);
    b.vm.machine.requests.clear();
    b.list(0) = 100;
    ASSERT_EQ(b.call(abi::XENMEM_populate_physmap, 1), 1);
    const u64 mfn = b.list(0);
    EXPECT_TRUE(b.domain().frames.domain_owns(Mfn{mfn}));
    EXPECT_EQ(b.domain().frames[Mfn{mfn}].references(), 0u);
    EXPECT_EQ(b.domain().frames[Mfn{mfn}].type_count(), 0u);
    EXPECT_EQ(b.m2p(mfn), 100u);
    EXPECT_EQ(b.domain().nr_pages, 512u);
    EXPECT_EQ(b.requested(doorbell::Request::reclaim), std::vector<u64>{mfn});
    // It can be mapped, and written.
    EXPECT_EQ(update_entry(b.vm.vcpu(), b.vm.mfn(b.vm.l1_pfn(100)), 100,
                           Pte::make({mfn}, Pte::PRESENT | Pte::RW | Pte::USER), false),
              0);
}

TEST(Balloon, GrowthEndsAtTheMaximum) {
    Balloon b;
    for (u64 i = 0; i < SPARE + 10; i++)
        b.list(i) = 1000 + i;
    b.domain().max_pages = 512 + 20;
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, SPARE + 10), 20);
    EXPECT_EQ(b.domain().nr_pages, 532u);
    EXPECT_EQ(b.requested(doorbell::Request::reclaim).size(), 20u);
    EXPECT_TRUE(b.requested(doorbell::Request::release).empty());
    b.domain().max_pages = 10'000; // then at the memory there is
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, SPARE), static_cast<Status>(SPARE - 20));
    EXPECT_EQ(b.domain().nr_free, 0u);
    EXPECT_EQ(b.domain().free_head, ~0ULL);
    std::set<u64> distinct;
    for (u64 i = 0; i < SPARE - 20; i++)
        distinct.insert(b.list(i));
    EXPECT_EQ(distinct.size(), SPARE - 20);
}

TEST(Balloon, HostRefuses) {
    Balloon b;
    b.vm.machine.results[doorbell::Request::reclaim] = -abi::XEN_ENOMEM;
    b.list(0) = 1000;
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1), 0);
    EXPECT_EQ(b.domain().nr_pages, 512u);
    EXPECT_EQ(b.domain().nr_free, SPARE);
    b.vm.machine.results.clear();
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1), 1);
}

/// What was reclaimed ahead, and then not used for want of a readable list, goes back to the host.
TEST(Balloon, ListThatEndsUnmapped) {
    Balloon b;
    const GuestVa list = b.vm.va(LIST_PFN, PAGE_SIZE - 16);
    b.vm.set_mapping_flags(LIST_PFN + 1, 0);
    b.list(510) = 1000;
    b.list(511) = 1001;
    const abi::xen_memory_reservation64 op{list.address, 10, 0, 0, abi::DOMID_SELF};
    EXPECT_EQ(b.vm.call(do_memory_op, abi::XENMEM_populate_physmap, b.vm.arg(op).address), 2);
    EXPECT_EQ(b.domain().nr_pages, 514u);
    EXPECT_EQ(b.domain().nr_free, SPARE - 2);
    EXPECT_EQ(b.requested(doorbell::Request::reclaim).size(), 10u);
    EXPECT_EQ(b.requested(doorbell::Request::release).size(), 8u);
}

TEST(Balloon, IncreaseWithAndWithoutAList) {
    Balloon b;
    ASSERT_EQ(b.call(abi::XENMEM_increase_reservation, 2), 2);
    EXPECT_TRUE(b.domain().frames.domain_owns(Mfn{b.list(1)}));
    EXPECT_EQ(b.m2p(b.list(1)), INVALID_M2P); // the guest sets it
    const abi::xen_memory_reservation64 op{0, 3, 0, 0, abi::DOMID_SELF};
    EXPECT_EQ(b.vm.call(do_memory_op, abi::XENMEM_increase_reservation, b.vm.arg(op).address), 3);
    EXPECT_EQ(b.domain().nr_pages, 517u);
}

TEST(Balloon, LargeExtentsAreContiguousAndAligned) {
    Balloon b;
    b.list(0) = 0x1000;
    b.list(1) = 0x2000;
    ASSERT_EQ(b.call(abi::XENMEM_populate_physmap, 2, 3), 2);
    for (const u64 i : {0, 1}) {
        const u64 first = b.list(i);
        EXPECT_EQ(first % 8, 0u);
        for (u64 j = 0; j < 8; j++) {
            EXPECT_TRUE(b.domain().frames.domain_owns(Mfn{first + j}));
            EXPECT_EQ(b.m2p(first + j), (i + 1) * 0x1000 + j);
        }
    }
    EXPECT_EQ(b.domain().nr_free, SPARE - 16);
    EXPECT_EQ(b.domain().nr_pages, 528u);
    // and back, in one extent
    ASSERT_EQ(b.call(abi::XENMEM_decrease_reservation, 1, 3), 1);
    EXPECT_EQ(b.domain().nr_free, SPARE - 8);
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 9), 0);  // no 512 in a row
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 10), 0); // more than a domain may
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 0xffffffff), 0);
}

TEST(Balloon, AddressBits) {
    Balloon b;
    b.list(0) = 1000;
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 0, 0, abi::XENMEMF_address_bits(21)), 0); // below MFN 512: none
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 0, 0, abi::XENMEMF_address_bits(12)), 0);
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 0, 0, abi::XENMEMF_address_bits(22)), 1);
    EXPECT_LT(b.list(0), 1024u);
    EXPECT_EQ(b.call(abi::XENMEM_populate_physmap, 1, 0, 0, abi::XENMEMF_address_bits(32)), 1);
}

TEST(Balloon, ContinuesAfterAnEvent) {
    Balloon b;
    // An event that is deliverable stops the work; the guest's handler would run, and the call goes on.
    for (u64 i = 0; i < 200; i++)
        b.offer(i, 100 + i);
    Vcpu& vcpu = b.vm.vcpu();
    const abi::xen_memory_reservation64 op{b.vm.va(LIST_PFN).address, 200, 0, 0, abi::DOMID_SELF};
    const GuestVa arg = b.vm.arg(op);
    vcpu.irq_bits = Vcpu::IRQ_WAKE;
    vcpu.preempted = false;
    (void)b.vm.call(do_memory_op, abi::XENMEM_decrease_reservation, arg.address);
    ASSERT_TRUE(vcpu.preempted);
    const u64 done = vcpu.continuation.a[0] >> abi::MEMOP_EXTENT_SHIFT;
    EXPECT_GT(done, 0u);
    EXPECT_LT(done, 200u);
    EXPECT_EQ(vcpu.continuation.a[0] & abi::MEMOP_CMD_MASK, u64{abi::XENMEM_decrease_reservation});
    EXPECT_EQ(b.domain().nr_pages, 512 - done);
    EXPECT_EQ(b.requested(doorbell::Request::release).size(), done);
    vcpu.irq_bits = 0;
    vcpu.preempted = false;
    EXPECT_EQ(b.vm.call(do_memory_op, vcpu.continuation.a[0], vcpu.continuation.a[1]), 200);
    EXPECT_FALSE(vcpu.preempted);
    EXPECT_EQ(b.domain().nr_pages, 312u);
}

TEST(Balloon, BatchesOfTheMailbox) {
    Balloon b;
    for (u64 i = 0; i < 300; i++)
        b.offer(i, 10 + i);
    ASSERT_EQ(b.call(abi::XENMEM_decrease_reservation, 300), 300);
    std::vector<u32> lengths;
    for (const RequestRecord& record : b.vm.machine.requests)
        lengths.push_back(record.length);
    EXPECT_EQ(lengths, (std::vector<u32>{256, 44}));
    b.vm.machine.requests.clear();
    for (u64 i = 0; i < 300; i++)
        b.list(i) = 10 + i;
    ASSERT_EQ(b.call(abi::XENMEM_populate_physmap, 300), 300);
    lengths.clear();
    for (const RequestRecord& record : b.vm.machine.requests)
        lengths.push_back(record.length);
    EXPECT_EQ(lengths, (std::vector<u32>{256, 44}));
    EXPECT_EQ(b.domain().nr_pages, 512u);
}

TEST(Balloon, OddArguments) {
    Balloon b;
    EXPECT_EQ(b.vm.call(do_memory_op, abi::XENMEM_decrease_reservation, 0x1000), 0);
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, ~0ULL), 0);
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 5, 0, 7), 7); // starts beyond its end
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1, 0, 0, 0, 0), 0);
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1, 0, 0, 0, 99), 0);
    b.offer(0, 100);
    EXPECT_EQ(b.call(abi::XENMEM_decrease_reservation, 1, 0, 0, 0, 7), 1); // its own number
}

// ---- exchange ----

struct Exchange : Balloon {
    abi::xen_memory_exchange64 op{};

    Exchange() {
        op.in = {vm.va(LIST_PFN).address, 0, 0, 0, abi::DOMID_SELF};
        op.out = {vm.va(LIST_PFN + 1).address, 0, 0, 0, abi::DOMID_SELF};
    }
    u64& out(u64 index) { return vm.at<u64>(LIST_PFN + 1, index * sizeof(u64)); }
    Status run() { return vm.call(do_memory_op, abi::XENMEM_exchange, vm.arg(op).address); }
    u64 exchanged() { return vm.out<abi::xen_memory_exchange64>().nr_exchanged; }
};

TEST(MemoryExchange, SinglePagesForAContiguousExtent) {
    Exchange x;
    for (u64 i = 0; i < 8; i++)
        x.offer(i, 100 + i);
    x.op.in.nr_extents = 8;
    x.op.out.nr_extents = 1;
    x.op.out.extent_order = 3;
    x.out(0) = 100;
    ASSERT_EQ(x.run(), 0);
    EXPECT_EQ(x.exchanged(), 8u);
    const u64 first = x.out(0);
    EXPECT_EQ(first % 8, 0u);
    for (u64 j = 0; j < 8; j++) {
        EXPECT_TRUE(x.domain().frames.domain_owns(Mfn{first + j}));
        EXPECT_EQ(x.m2p(first + j), 100 + j);
    }
    EXPECT_EQ(x.domain().nr_pages, 512u);
    EXPECT_EQ(x.domain().nr_free, SPARE);
    for (u64 i = 0; i < 8; i++) {
        if (x.list(i) - first >= 8) {
            EXPECT_EQ(x.m2p(x.list(i)), INVALID_M2P);
            EXPECT_EQ(x.domain().frames[Mfn{x.list(i)}].owner(), FrameOwner::free);
        }
    }
    EXPECT_EQ(x.requested(doorbell::Request::release).size(), x.requested(doorbell::Request::reclaim).size());
}

TEST(MemoryExchange, NothingContiguousLeavesAllAsItWas) {
    Exchange x;
    for (u64 i = 0; i < 256; i++)
        x.offer(i, 100 + i); // frames that do not lie in one aligned run
    x.op.in.nr_extents = 256;
    x.op.out.nr_extents = 1;
    x.op.out.extent_order = 8;
    x.out(0) = 100;
    EXPECT_EQ(x.run(), -abi::XEN_ENOMEM);
    EXPECT_EQ(x.exchanged(), 0u);
    EXPECT_EQ(x.domain().nr_free, SPARE);
    for (u64 i = 0; i < 256; i++) {
        EXPECT_TRUE(x.domain().frames.domain_owns(Mfn{x.list(i)}));
        EXPECT_EQ(x.m2p(x.list(i)), 100 + i);
    }
    EXPECT_TRUE(x.vm.machine.requests.empty());
}

TEST(MemoryExchange, ExtentForSinglePages) {
    Exchange x;
    x.list(0) = 0x5000;
    ASSERT_EQ(x.call(abi::XENMEM_populate_physmap, 1, 2), 1);
    x.op.in.nr_extents = 1;
    x.op.in.extent_order = 2;
    x.op.out.nr_extents = 4;
    for (u64 i = 0; i < 4; i++)
        x.out(i) = 0x6000 + i;
    ASSERT_EQ(x.run(), 0);
    for (u64 i = 0; i < 4; i++)
        EXPECT_EQ(x.m2p(x.out(i)), 0x6000 + i);
    EXPECT_EQ(x.domain().nr_pages, 516u);
}

TEST(MemoryExchange, Refusals) {
    Exchange x;
    x.op.in.nr_extents = 1;
    x.op.out.nr_extents = 1;
    x.list(0) = x.vm.mfn(100).number; // mapped
    EXPECT_EQ(x.run(), -abi::XEN_EINVAL);
    EXPECT_EQ(x.domain().nr_free, SPARE);
    x.op.out.nr_extents = 2; // not as many frames
    EXPECT_EQ(x.run(), -abi::XEN_EINVAL);
    x.op.out.nr_extents = 1;
    x.op.in.extent_order = x.op.out.extent_order = 10;
    EXPECT_EQ(x.run(), -abi::XEN_EPERM);
    x.op.in.extent_order = x.op.out.extent_order = 64;
    EXPECT_EQ(x.run(), -abi::XEN_EINVAL);
    x.op.in.extent_order = x.op.out.extent_order = 0;
    x.op.out.domid = 0;
    EXPECT_EQ(x.run(), -abi::XEN_EINVAL);
    x.op.in.domid = 0;
    EXPECT_EQ(x.run(), -abi::XEN_EPERM);
    EXPECT_EQ(x.vm.call(do_memory_op, abi::XENMEM_exchange, 0x1000), -abi::XEN_EFAULT);
}

/// Where the guest cannot be told the new frames it keeps the old ones.
TEST(MemoryExchange, AResultThatCannotBeWrittenIsEfault) {
    for (const bool unmapped : {false, true}) {
        Exchange x;
        for (u64 i = 0; i < 4; i++)
            x.offer(i, 100 + i);
        x.op.in.nr_extents = x.op.out.nr_extents = 4;
        // Two entries on a page that takes them, two on one that does not.
        x.op.out.extent_start = x.vm.va(11, PAGE_SIZE - 2 * sizeof(u64)).address;
        x.vm.at<u64>(11, PAGE_SIZE - 2 * sizeof(u64)) = 0x6000;
        x.vm.at<u64>(11, PAGE_SIZE - sizeof(u64)) = 0x6001;
        const u64 flags = unmapped ? 0 : Pte::PRESENT | Pte::USER | Pte::ACCESSED;
        x.vm.set_mapping_flags(12, flags);
        EXPECT_EQ(x.run(), -abi::XEN_EFAULT);
        EXPECT_EQ(x.exchanged(), 2u);
        EXPECT_EQ(x.domain().nr_free, SPARE);
        EXPECT_EQ(x.m2p(x.vm.at<u64>(11, PAGE_SIZE - sizeof(u64))), 0x6001u);
        for (u64 i = 2; i < 4; i++) {
            EXPECT_TRUE(x.domain().frames.domain_owns(Mfn{x.list(i)}));
            EXPECT_EQ(x.m2p(x.list(i)), 100 + i);
        }
    }
}

TEST(MemoryExchange, AnExtentListThatCannotBeWrittenToItsEndIsEfault) {
    Exchange x;
    x.list(0) = 0x5000;
    ASSERT_EQ(x.call(abi::XENMEM_populate_physmap, 1, 2), 1);
    const u64 first = x.list(0);
    x.op.in.nr_extents = 1;
    x.op.in.extent_order = 2;
    x.op.out.nr_extents = 4;
    x.op.out.extent_start = x.vm.va(11, PAGE_SIZE - 2 * sizeof(u64)).address;
    x.vm.set_mapping_flags(12, 0);
    EXPECT_EQ(x.run(), -abi::XEN_EFAULT);
    EXPECT_EQ(x.exchanged(), 0u);
    EXPECT_TRUE(x.domain().frames.domain_owns(Mfn{first}));
    EXPECT_EQ(x.m2p(first), 0x5000u);
}

TEST(Balloon, FramesThatTheGuestCannotBeToldOfAreNotTaken) {
    for (const unsigned command : {abi::XENMEM_populate_physmap, abi::XENMEM_increase_reservation}) {
        Balloon b;
        b.list(0) = 0x5000;
        b.list(1) = 0x5004;
        b.vm.set_mapping_flags(LIST_PFN, Pte::PRESENT | Pte::USER | Pte::ACCESSED);
        EXPECT_EQ(b.call(command, 2, 2), 0);
        EXPECT_EQ(b.domain().nr_pages, 512u);
        EXPECT_EQ(b.domain().nr_free, SPARE);
        EXPECT_EQ(b.requested(doorbell::Request::release).size(), 4u);
    }
}

// ---- queries ----

TEST(MemoryOp, Reservations) {
    FakeVm vm;
    const GuestVa self = vm.arg(abi::xen_memory_domain{abi::DOMID_SELF});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_current_reservation, self.address), 512);
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_maximum_reservation, self.address), 576);
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_maximum_ram_page, 0), static_cast<Status>(vm.boot.max_mfn));
    vm.shared().arch.max_pfn = 512;
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_maximum_gpfn, self.address), 511);
    const GuestVa dom0 = vm.arg(abi::xen_memory_domain{0});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_current_reservation, dom0.address), -abi::XEN_EPERM);
    const GuestVa other = vm.arg(abi::xen_memory_domain{55});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_current_reservation, other.address), -abi::XEN_ESRCH);
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_current_reservation, 0x1000), -abi::XEN_EFAULT);
}

TEST(MemoryOp, MachinePhysicalMapping) {
    FakeVm vm;
    const GuestVa arg = vm.arg(abi::xen_machphys_mapping64{});
    ASSERT_EQ(vm.call(do_memory_op, abi::XENMEM_machphys_mapping, arg.address), 0);
    const auto mapping = vm.out<abi::xen_machphys_mapping64>();
    EXPECT_EQ(mapping.v_start, vm.boot.m2p_va);
    EXPECT_EQ(mapping.max_mfn, vm.boot.max_mfn - 1);
    EXPECT_GE(mapping.v_end, mapping.v_start + 8 * (mapping.max_mfn + 1));
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_machphys_mapping, vm.va(vm.l4_pfn()).address), -abi::XEN_EFAULT);
}

TEST(MemoryOp, WhatAnUnprivilegedDomainMayNot) {
    FakeVm vm;
    const auto call = [&](unsigned command) { return vm.call(do_memory_op, command, vm.va(1).address); };
    EXPECT_EQ(call(abi::XENMEM_memory_map), -abi::XEN_ENOSYS);
    EXPECT_EQ(call(abi::XENMEM_machine_memory_map), -abi::XEN_EPERM);
    EXPECT_EQ(call(abi::XENMEM_set_memory_map), -abi::XEN_EPERM);
    EXPECT_EQ(call(abi::XENMEM_set_pod_target), -abi::XEN_EINVAL);
    EXPECT_EQ(call(abi::XENMEM_claim_pages), -abi::XEN_EPERM);
    EXPECT_EQ(call(63), -abi::XEN_ENOSYS);
    const GuestVa physmap = vm.arg(abi::xen_add_to_physmap64{abi::DOMID_SELF, 0, 0, 0, 0});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_add_to_physmap, physmap.address), -abi::XEN_EACCES);
    const GuestVa remove = vm.arg(abi::xen_remove_from_physmap64{abi::DOMID_SELF, vm.mfn(100).number});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_remove_from_physmap, remove.address), -abi::XEN_EACCES);
    const GuestVa none = vm.arg(abi::xen_remove_from_physmap64{55, 5});
    EXPECT_EQ(vm.call(do_memory_op, abi::XENMEM_remove_from_physmap, none.address), -abi::XEN_ESRCH);
    for (const unsigned command : {abi::XENMEM_set_memory_map, abi::XENMEM_set_pod_target, abi::XENMEM_claim_pages,
                                   abi::XENMEM_access_op, abi::XENMEM_acquire_resource, abi::XENMEM_get_vnumainfo,
                                   abi::XENMEM_reserved_device_memory_map, abi::XENMEM_remove_from_physmap})
        EXPECT_EQ(vm.call(do_memory_op, command, 0x1000), -abi::XEN_EFAULT) << command;
}

} // namespace
} // namespace parapet::nucleus::test
