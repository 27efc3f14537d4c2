// SPDX-License-Identifier: Apache-2.0
// The guest's side of the FIFO event-channel ABI on a FakeVm, as Linux has it: setup, and taking events off the queues.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "hypercall-emu/core/services.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::nucleus::test {

class FifoGuest {
public:
    static constexpr u64 CONTROL_PFN = 40;
    static constexpr u64 ARRAY_PFN = 100; ///< and up to 127 more
    static constexpr u32 PENDING = 1u << 31, MASKED = 1u << 30, LINKED = 1u << 29, BUSY = 1u << 28;
    static constexpr u32 LINK = (1u << 17) - 1;

    explicit FifoGuest(FakeVm& of) : vm{of} {}

    template <typename T>
    Status op(unsigned command, const T& argument) {
        return vm.call(do_event_channel_op, command, vm.arg(argument).address);
    }
    Status init_control(u64 mfn, u32 offset, u32 vcpu) {
        return op(abi::EVTCHNOP_init_control, abi::evtchn_init_control{mfn, offset, vcpu, 0, {}});
    }
    Status expand(u64 mfn) { return op(abi::EVTCHNOP_expand_array, abi::evtchn_expand_array{mfn}); }
    /// All words masked, as a guest gives them.
    void init_words() {
        for (u32 port = 0; port < FifoEvents::WORDS_PER_PAGE; port++)
            word(port) = MASKED;
        control() = {};
    }
    void start() {
        init_words();
        ASSERT_EQ(init_control(vm.mfn(CONTROL_PFN).number, 0, 0), 0);
        ASSERT_EQ(expand(vm.mfn(ARRAY_PFN).number), 0);
    }
    abi::evtchn_fifo_control_block& control(u64 offset = 0) {
        return vm.at<abi::evtchn_fifo_control_block>(CONTROL_PFN, offset);
    }
    u32& word(u32 port) {
        constexpr u32 PER_PAGE = FifoEvents::WORDS_PER_PAGE;
        return vm.at<u32>(ARRAY_PFN + port / PER_PAGE, port % PER_PAGE * sizeof(u32));
    }
    /// The first page of words.
    std::vector<u32> words() {
        const u32* first = &word(0);
        return {first, first + FifoEvents::WORDS_PER_PAGE};
    }
    /// Take one event off the queue of that priority: the guest's own head moves on, `ready` is cleared once it is
    /// empty. 0: nothing to handle (an event that is masked or no longer pending is dropped).
    u32 consume(unsigned priority, u32& ready) {
        u32 head = heads[priority];
        if (head == 0)
            head = __atomic_load_n(&control().head[priority], __ATOMIC_SEQ_CST);
        const u32 link = clear_linked(word(head));
        heads[priority] = link;
        if (link == 0)
            ready &= ~(1u << priority);
        const u32 now = __atomic_load_n(&word(head), __ATOMIC_SEQ_CST);
        if ((now & PENDING) == 0 || (now & MASKED) != 0)
            return 0;
        __atomic_fetch_and(&word(head), ~PENDING, __ATOMIC_SEQ_CST);
        return head;
    }
    /// Handle all that is ready, highest priority first. The ports in order.
    std::vector<u32> take_all() {
        std::vector<u32> taken;
        u32 ready = __atomic_exchange_n(&control().ready, 0, __ATOMIC_SEQ_CST);
        while (ready != 0) {
            if (const u32 port = consume(static_cast<unsigned>(__builtin_ctz(ready)), ready); port != 0)
                taken.push_back(port);
            ready |= __atomic_exchange_n(&control().ready, 0, __ATOMIC_SEQ_CST);
        }
        return taken;
    }

    u32 heads[abi::EVTCHN_FIFO_MAX_QUEUES] = {}; ///< the guest's own: next to take, 0: as the control block says
    FakeVm& vm;

private:
    static u32 clear_linked(u32& word) {
        u32 old = __atomic_load_n(&word, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n(&word, &old, old & ~(LINKED | LINK), false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST)) {
        }
        return old & LINK;
    }
};

} // namespace parapet::nucleus::test
