// SPDX-License-Identifier: Apache-2.0
// The FIFO event-channel ABI: its setup, the queues' states, and hostile words. A model of it under random steps is
// in fifo_model_test.cpp.
#include "hypercall-emu/core/fifo_events.hpp"

#include <gtest/gtest.h>

#include "hypercall-emu/core/mm.hpp"
#include "hypercall-emu/core/services.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/sched.hpp"
#include "tests/unit/nucleus/fifo_guest.hpp"

namespace parapet::nucleus::test {
namespace {

constexpr unsigned EVTCHNOP_reset_cont = 14; // as a continuation has it

using namespace parapet::abi;

class Fifo : public ::testing::Test {
protected:
    FakeVm vm;
    FifoGuest guest{vm};

    u32 bind_ipi() {
        EXPECT_EQ(guest.op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{0, 0}), 0);
        return vm.out<evtchn_bind_ipi>().port;
    }
    /// A port that is open, on the FIFO ABI and unmasked.
    u32 ready_port() {
        const u32 port = bind_ipi();
        EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
        return port;
    }
    Status send(u32 port) { return guest.op(EVTCHNOP_send, evtchn_send{port}); }
    u64 types(u64 pfn) { return vm.domain().frames[vm.mfn(pfn)].type_count(); }
    bool upcall() { return vm.vcpu().info64().evtchn_upcall_pending != 0; }
};

TEST_F(Fifo, InitControlChecksItsArguments) {
    const u64 good = vm.mfn(FifoGuest::CONTROL_PFN).number;
    EXPECT_EQ(guest.init_control(good, 0, 1), -XEN_ENOENT);
    EXPECT_EQ(guest.init_control(good, PAGE_SIZE - 64, 0), -XEN_EINVAL); // 72 bytes would cross the page
    EXPECT_EQ(guest.init_control(good, 0xfffffff8, 0), -XEN_EINVAL);
    EXPECT_EQ(guest.init_control(good, 4, 0), -XEN_EINVAL);
    const u64 wild[] = {~0ULL, ~0ULL >> 12, FakeVm::STUB_ROOT_MFN, vm.mfn(vm.l1_pfn(0)).number,
                        FakeVm::FIRST_MFN + 512 + 3};
    for (const u64 bad : wild)
        EXPECT_EQ(guest.init_control(bad, 0, 0), -XEN_EINVAL) << bad;
    EXPECT_EQ(vm.call(do_event_channel_op, EVTCHNOP_init_control, 0x1000), -XEN_EFAULT);
    EXPECT_FALSE(vm.domain().fifo.active);
    EXPECT_EQ(types(FifoGuest::CONTROL_PFN), 1u); // the guest's own mapping

    EXPECT_EQ(guest.init_control(good, PAGE_SIZE - 72, 0), 0);
    EXPECT_EQ(vm.out<evtchn_init_control>().link_bits, 17);
    EXPECT_TRUE(vm.domain().fifo.active);
    EXPECT_EQ(types(FifoGuest::CONTROL_PFN), 2u);
    EXPECT_EQ(guest.init_control(good, 0, 0), -XEN_EINVAL); // once for each vCPU
    EXPECT_EQ(types(FifoGuest::CONTROL_PFN), 2u);
}

TEST_F(Fifo, ExpandArray) {
    EXPECT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN).number), -XEN_EOPNOTSUPP);
    guest.start();
    EXPECT_EQ(guest.expand(~0ULL), -XEN_EINVAL);
    EXPECT_EQ(guest.expand(vm.mfn(vm.l1_pfn(0)).number), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_event_channel_op, EVTCHNOP_expand_array, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(vm.domain().fifo.nr_pages, 1u);
    for (u32 page = 1; page < 128; page++) // the same one over and over is the guest's own folly
        ASSERT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN).number), 0);
    EXPECT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN).number), -XEN_ENOSPC);
    EXPECT_EQ(types(FifoGuest::ARRAY_PFN), 129u);
}

TEST_F(Fifo, SetPriority) {
    const u32 port = bind_ipi();
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{port, 0}), -XEN_ENOSYS); // 2-level
    guest.start();
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{port, 15}), 0);
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{port, 16}), -XEN_EINVAL);
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{64, 0}), -XEN_EINVAL);
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{NR_CHANNELS, 0}), -XEN_EINVAL);
    EXPECT_EQ(vm.call(do_event_channel_op, EVTCHNOP_set_priority, 0x1000), -XEN_EFAULT);
    EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
    EXPECT_EQ(send(port), 0);
    EXPECT_EQ(guest.control().ready, 1u << 15);
    EXPECT_EQ(guest.control().head[15], port);
}

TEST_F(Fifo, FirstEventIsTheHeadAndTheNextAreLinkedToIt) {
    guest.start();
    const u32 first = ready_port(), second = ready_port(), third = ready_port();
    EXPECT_EQ(send(first), 0);
    EXPECT_EQ(guest.control().ready, 1u << 7);
    EXPECT_EQ(guest.control().head[7], first);
    EXPECT_TRUE(upcall());
    EXPECT_EQ(send(second), 0);
    EXPECT_EQ(send(third), 0);
    EXPECT_EQ(send(first), 0); // is pending
    EXPECT_EQ(guest.word(first), FifoGuest::PENDING | FifoGuest::LINKED | second);
    EXPECT_EQ(guest.word(second), FifoGuest::PENDING | FifoGuest::LINKED | third);
    EXPECT_EQ(guest.word(third), FifoGuest::PENDING | FifoGuest::LINKED);
    EXPECT_EQ(guest.take_all(), (std::vector<u32>{first, second, third}));
    EXPECT_EQ(guest.word(first), 0u);
    vm.vcpu().info64().evtchn_upcall_pending = 0;
    EXPECT_EQ(send(third), 0); // the tail that was consumed is no tail any more
    EXPECT_TRUE(upcall());
    EXPECT_EQ(guest.take_all(), std::vector<u32>{third});
}

TEST_F(Fifo, HigherPriorityFirst) {
    guest.start();
    const u32 low = ready_port(), high = ready_port(), middle = ready_port();
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{low, 15}), 0);
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{high, 0}), 0);
    for (const u32 port : {low, middle, high})
        EXPECT_EQ(send(port), 0);
    EXPECT_EQ(guest.take_all(), (std::vector<u32>{high, middle, low}));
}

TEST_F(Fifo, MaskedEventWaitsForUnmask) {
    guest.start();
    const u32 port = bind_ipi();
    EXPECT_EQ(send(port), 0);
    EXPECT_EQ(guest.word(port), FifoGuest::PENDING | FifoGuest::MASKED);
    EXPECT_FALSE(upcall());
    EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
    EXPECT_TRUE(upcall());
    EXPECT_EQ(guest.take_all(), std::vector<u32>{port});
    EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0); // nothing pending: nothing queued
    EXPECT_EQ(guest.take_all(), std::vector<u32>{});
}

TEST_F(Fifo, WhatWasPendingComesAlong) {
    const u32 port = bind_ipi(), idle = bind_ipi();
    EXPECT_EQ(send(port), 0); // by the 2-level ABI
    ASSERT_TRUE(port_is_pending(vm.domain(), {port}));
    guest.init_words();
    guest.word(port) = guest.word(idle) = 0; // unmasked before the hypervisor sees the page
    ASSERT_EQ(guest.init_control(vm.mfn(FifoGuest::CONTROL_PFN).number, 0, 0), 0);
    EXPECT_FALSE(port_is_pending(vm.domain(), {port})); // there is no word yet
    EXPECT_EQ(send(idle), 0);                           // nor for this one
    ASSERT_EQ(guest.op(EVTCHNOP_close, evtchn_close{idle}), 0);
    ASSERT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN).number), 0);
    EXPECT_EQ(guest.take_all(), std::vector<u32>{port});
}

TEST_F(Fifo, EventsOfAPageThatIsNotThereYetAreKept) {
    guest.start();
    u32 port = 0;
    while (port < 1024)
        port = bind_ipi();
    EXPECT_EQ(send(port), 0);
    EXPECT_FALSE(upcall());
    ASSERT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
    fill_bytes(vm.frame(vm.mfn(FifoGuest::ARRAY_PFN + 1)), 0, PAGE_SIZE);
    ASSERT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN + 1).number), 0);
    EXPECT_TRUE(upcall());
    EXPECT_EQ(guest.take_all(), std::vector<u32>{1024});
}

TEST_F(Fifo, CloseClearsAndALinkedPortIsNotOpenedAgain) {
    guest.start();
    const u32 port = ready_port(), other = ready_port();
    EXPECT_EQ(send(port), 0);
    EXPECT_EQ(guest.op(EVTCHNOP_close, evtchn_close{port}), 0);
    EXPECT_EQ(guest.word(port), FifoGuest::LINKED);
    EXPECT_EQ(bind_ipi(), other + 1); // not `port`
    EXPECT_EQ(guest.take_all(), std::vector<u32>{});
    EXPECT_EQ(bind_ipi(), port); // off the queue now
}

TEST_F(Fifo, APortThatChangesItsQueueDoesNotTieTheTwo) {
    guest.start();
    const u32 port = ready_port(), other = ready_port();
    EXPECT_EQ(send(port), 0);
    EXPECT_EQ(guest.take_all(), std::vector<u32>{port}); // still the tail of queue 7, as the nucleus knows it
    EXPECT_EQ(guest.op(EVTCHNOP_close, evtchn_close{port}), 0);
    EXPECT_EQ(ready_port(), port); // even for another life of the port
    EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{port, 3}), 0);
    EXPECT_EQ(send(port), 0);
    EXPECT_EQ(send(other), 0); // on queue 7: must become its head, not the link of `port`
    EXPECT_EQ(guest.control().head[7], other);
    EXPECT_EQ(guest.word(port), FifoGuest::PENDING | FifoGuest::LINKED);
    EXPECT_EQ(guest.take_all(), (std::vector<u32>{port, other}));
}

TEST_F(Fifo, EventsGoToTheBoundVcpu) {
    Vcpu& second = vm.add_vcpu();
    guest.start();
    EXPECT_EQ(guest.op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{1, 0}), 0);
    const u32 port = vm.out<evtchn_bind_ipi>().port;
    guest.word(port) = 0;
    EXPECT_EQ(send(port), 0); // no control block there: not queued
    EXPECT_EQ(guest.word(port), FifoGuest::PENDING);
    EXPECT_EQ(second.info64().evtchn_upcall_pending, 0);
    ASSERT_EQ(guest.init_control(vm.mfn(FifoGuest::CONTROL_PFN).number, 128, 1), 0);
    EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
    EXPECT_EQ(guest.control(128).head[7], port);
    EXPECT_EQ(second.info64().evtchn_upcall_pending, 1);
    EXPECT_FALSE(upcall());
}

TEST_F(Fifo, ResetGoesBackToTwoLevels) {
    guest.start();
    for (unsigned i = 0; i < 2000; i++)
        (void)bind_ipi();
    EXPECT_EQ(vm.hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_reset, vm.arg(evtchn_reset{DOMID_SELF}).address), 0);
    EXPECT_FALSE(vm.domain().fifo.active);
    EXPECT_EQ(types(FifoGuest::CONTROL_PFN), 1u);
    EXPECT_EQ(types(FifoGuest::ARRAY_PFN), 1u);
    EXPECT_EQ(vm.vcpu().fifo_control, 0u);
    const u32 port = bind_ipi();
    EXPECT_EQ(port, 1u);
    EXPECT_EQ(send(port), 0);
    EXPECT_NE(vm.shared().evtchn_pending[0] & 2, 0u);
    guest.start(); // and again
    EXPECT_EQ(guest.take_all(), std::vector<u32>{});
    EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
    EXPECT_EQ(guest.take_all(), std::vector<u32>{port});
}

TEST_F(Fifo, AResetIsContinuedByItsOwnCommand) {
    guest.start();
    for (unsigned i = 0; i < 1000; i++)
        (void)bind_ipi();
    const evtchn_reset self{DOMID_SELF};
    EXPECT_EQ(guest.op(EVTCHNOP_reset_cont, self), -XEN_EBUSY); // none is under way
    EXPECT_EQ(guest.op(EVTCHNOP_reset, self), 0);
    ASSERT_TRUE(vm.vcpu().preempted);
    EXPECT_EQ(vm.vcpu().continuation.a[0], u64{EVTCHNOP_reset_cont});
    EXPECT_EQ(guest.op(EVTCHNOP_reset, self), -XEN_EBUSY); // by a handler that interrupted it
    EXPECT_EQ(bind_ipi(), 1u);
    vm.vcpu().preempted = false;
    vm.vcpu().units_done = 0;
    Status status = 0;
    do {
        vm.vcpu().preempted = false;
        vm.vcpu().units_done = 0;
        status = guest.op(EVTCHNOP_reset_cont, self);
    } while (vm.vcpu().preempted);
    EXPECT_EQ(status, -XEN_EAGAIN);
    EXPECT_TRUE(vm.domain().fifo.active);
}

TEST_F(Fifo, PollSeesPendingAndIsWoken) {
    guest.start();
    const u32 port = bind_ipi(); // masked
    const auto poll = [&] {
        (void)vm.arg(port, 2);
        return vm.call(do_sched_op, SCHEDOP_poll, vm.arg(sched_poll64{vm.va(2).address, 1, 0}).address);
    };
    EXPECT_EQ(poll(), 0);
    EXPECT_TRUE(vm.vcpu().blocked);
    EXPECT_EQ(send(port), 0);
    EXPECT_FALSE(vm.vcpu().blocked);
    EXPECT_EQ(poll(), 0); // pending: at once
    EXPECT_FALSE(vm.vcpu().blocked);
}

TEST_F(Fifo, AllPorts) {
    guest.start();
    for (u32 page = 1; page < 128; page++)
        ASSERT_EQ(guest.expand(vm.mfn(FifoGuest::ARRAY_PFN + page).number), 0);
    u32 last = 0;
    for (u32 port = 3; port < NR_CHANNELS; port++) {
        last = bind_ipi();
        ASSERT_EQ(last, port);
    }
    EXPECT_EQ(guest.op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{0, 0}), -XEN_ENOSPC);
    EXPECT_EQ(vm.mailbox().port_rows, doorbell::MAX_PORT_ROWS);
    ASSERT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{last}), 0);
    EXPECT_EQ(send(last), 0);
    EXPECT_EQ(guest.control().head[7], NR_CHANNELS - 1);
    EXPECT_EQ(guest.op(EVTCHNOP_close, evtchn_close{70000}), 0);
    EXPECT_EQ(guest.op(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound{DOMID_SELF, 0, 0}), 0);
    EXPECT_EQ(vm.out<evtchn_alloc_unbound>().port, 70000u);
    // A high port of the host's, both ways.
    EXPECT_EQ(send(70000), 0);
    EXPECT_EQ(vm.mailbox().to_vmm.word[70000 / 64], 1ULL << 70000 % 64);
    EXPECT_EQ(vm.mailbox().to_vmm.selector, 1ULL << 70000 / 64 % 64);
    vm.mailbox().to_nucleus.word[70000 / 64] = 1ULL << 70000 % 64;
    vm.mailbox().to_nucleus.selector = 1ULL << 70000 / 64 % 64;
    take_mailbox(vm.domain());
    EXPECT_TRUE(port_is_pending(vm.domain(), {70000}));
}

// ---- hostile guests ----

TEST_F(Fifo, ItsPagesAreNeitherTablesNorGivenAway) {
    guest.start();
    for (const u64 pfn : {FifoGuest::CONTROL_PFN, FifoGuest::ARRAY_PFN}) {
        ASSERT_EQ(update_entry(vm.vcpu(), vm.mfn(vm.l1_pfn(pfn)), pfn % 512, Pte{}, false), 0);
        EXPECT_EQ(types(pfn), 1u);
        EXPECT_EQ(pin_table(vm.vcpu(), vm.mfn(pfn), FrameType::l1), -XEN_EINVAL);
    }
}

/// Every value of the high bits in the tail's word, circles and links out of range: the event arrives or is lost, and
/// no word but the tail's, the port's and the control block change.
TEST_F(Fifo, WordsOfAnySort) {
    guest.start();
    const u32 tail = ready_port(), port = ready_port();
    for (u32 high = 0; high < 16; high++) {
        for (const u32 link : {0u, tail, port, 5000u, 0x1ffffu}) {
            EXPECT_EQ(send(tail), 0);
            guest.word(tail) = high << 28 | link;
            guest.word(port) = link;
            const std::vector<u32> before = guest.words();
            EXPECT_EQ(send(port), 0);
            std::vector<u32> after = guest.words();
            after[tail] = before[tail];
            after[port] = before[port];
            EXPECT_EQ(before, after);
            EXPECT_EQ(guest.word(port), FifoGuest::PENDING | FifoGuest::LINKED | link);
            EXPECT_EQ(guest.word(tail) >> 28 & 1, (high & 2) != 0 ? 0 : high & 1) << "BUSY is taken back";
            guest.word(tail) = guest.word(port) = 0;
            guest.control() = {};
        }
    }
    EXPECT_FALSE(vm.domain().dead);
}

/// Control block and event words in one page, one over the other.
TEST_F(Fifo, OverlappingPages) {
    const u64 mfn = vm.mfn(FifoGuest::CONTROL_PFN).number;
    ASSERT_EQ(guest.init_control(mfn, 0, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        ASSERT_EQ(guest.expand(mfn), 0);
    for (unsigned i = 0; i < 40; i++) {
        const u32 port = bind_ipi();
        EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{port}), 0);
        EXPECT_EQ(send(port), 0);
    }
    EXPECT_FALSE(vm.domain().dead);
    const evtchn_reset self{DOMID_SELF};
    EXPECT_EQ(vm.hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_reset, vm.arg(self).address), 0);
    EXPECT_EQ(types(FifoGuest::CONTROL_PFN), 1u);
}

} // namespace
} // namespace parapet::nucleus::test
