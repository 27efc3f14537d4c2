// SPDX-License-Identifier: Apache-2.0
// Is any event lost? A guest consumes its FIFO queues while the core fills them: step by step in a random order, each
// of the guest's memory accesses a step; and on a thread of its own. Both keep the ABI's rules, as Linux does.
//
// A send counts before it is made, and a handler notes the count after it has cleared PENDING. So once the queues have
// run dry, whatever is not masked must have been noted in full.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "hypercall-emu/core/fifo_events.hpp"
#include "tests/unit/nucleus/fifo_guest.hpp"

namespace parapet::nucleus::test {
namespace {

using namespace parapet::abi;

constexpr u32 NR_PORTS = 24;

/// A guest with NR_PORTS channels to itself, unmasked.
class Model {
public:
    Model() {
        guest.start();
        for (u32 i = 0; i < NR_PORTS; i++) {
            EXPECT_EQ(guest.op(EVTCHNOP_bind_ipi, evtchn_bind_ipi{0, 0}), 0);
            ports[i] = vm.out<evtchn_bind_ipi>().port;
            EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{ports[i]}), 0);
        }
    }
    void send(u32 i) {
        sent[i]++;
        EXPECT_EQ(guest.op(EVTCHNOP_send, evtchn_send{ports[i]}), 0);
    }
    void set_priority(u32 i, u32 priority) {
        EXPECT_EQ(guest.op(EVTCHNOP_set_priority, evtchn_set_priority{ports[i], priority}), 0);
    }
    void unmask(u32 i) { EXPECT_EQ(guest.op(EVTCHNOP_unmask, evtchn_unmask{ports[i]}), 0); }
    u32& word(u32 i) { return guest.word(ports[i]); }
    void handled(u32 port) {
        for (u32 i = 0; i < NR_PORTS; i++)
            if (ports[i] == port)
                noted[i] = sent[i].load();
    }
    void expect_nothing_lost() {
        for (u32 i = 0; i < NR_PORTS; i++) {
            if (noted[i] != sent[i]) {
                EXPECT_EQ(word(i) & (FifoGuest::MASKED | FifoGuest::PENDING), FifoGuest::MASKED | FifoGuest::PENDING)
                    << "port " << ports[i] << " of " << sent[i] << " events: the last noted is " << noted[i];
            }
        }
    }

    FakeVm vm;
    FifoGuest guest{vm};
    std::array<u32, NR_PORTS> ports{};
    std::array<std::atomic<u64>, NR_PORTS> sent{};
    std::array<u64, NR_PORTS> noted{};
};

/// The guest's upcall handler as a machine that makes one access to shared memory at each step.
class Consumer {
public:
    explicit Consumer(Model& of) : model_{of} {}

    /// False: the queues are dry.
    bool step() {
        switch (at_) {
        case At::ready:
            ready_ |= __atomic_exchange_n(&model_.guest.control().ready, 0, __ATOMIC_SEQ_CST);
            at_ = ready_ == 0 ? At::ready : At::head;
            return ready_ != 0;
        case At::head:
            priority_ = static_cast<unsigned>(__builtin_ctz(ready_));
            port_ = model_.guest.heads[priority_];
            if (port_ == 0)
                port_ = __atomic_load_n(&model_.guest.control().head[priority_], __ATOMIC_SEQ_CST);
            at_ = At::unlink;
            return true;
        case At::unlink: {
            const u32 old = __atomic_fetch_and(&word(), ~(FifoGuest::LINKED | FifoGuest::LINK), __ATOMIC_SEQ_CST);
            EXPECT_NE(old & FifoGuest::LINKED, 0u) << "port " << port_ << " is on no queue";
            model_.guest.heads[priority_] = old & FifoGuest::LINK;
            if ((old & FifoGuest::LINK) == 0)
                ready_ &= ~(1u << priority_);
            at_ = At::look;
            return true;
        }
        case At::look: {
            const u32 now = __atomic_load_n(&word(), __ATOMIC_SEQ_CST);
            const bool due = (now & FifoGuest::PENDING) != 0 && (now & FifoGuest::MASKED) == 0;
            at_ = due ? At::clear : At::ready;
            return true;
        }
        case At::clear:
            __atomic_fetch_and(&word(), ~FifoGuest::PENDING, __ATOMIC_SEQ_CST);
            model_.handled(port_);
            order.push_back(port_);
            at_ = At::ready;
            return true;
        }
        return false;
    }
    void run_dry() {
        while (step()) {
        }
    }

    std::vector<u32> order;

private:
    enum class At { ready, head, unlink, look, clear };
    u32& word() { return model_.guest.word(port_); }

    Model& model_;
    At at_ = At::ready;
    u32 ready_ = 0, port_ = 0;
    unsigned priority_ = 0;
};

/// As Linux unmasks: by itself where nothing is pending, else by the hypervisor. True: the hypervisor is needed.
bool needs_unmask(u32& word) {
    u32 seen = __atomic_load_n(&word, __ATOMIC_SEQ_CST);
    for (;;) {
        if ((seen & FifoGuest::MASKED) == 0)
            return false;
        if ((seen & FifoGuest::PENDING) != 0)
            return true;
        u32 idle = seen & ~FifoGuest::BUSY;
        const u32 wanted = idle & ~FifoGuest::MASKED;
        if (__atomic_compare_exchange_n(&word, &idle, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return false;
        seen = idle;
    }
}

TEST(FifoModel, NoEventIsLostWhateverTheOrderOfSteps) {
    for (u64 seed = 1; seed <= 200; seed++) {
        Model model;
        Consumer consumer{model};
        std::mt19937_64 random{seed};
        for (unsigned i = 0; i < 1500; i++) {
            const u32 which = static_cast<u32>(random() % NR_PORTS);
            switch (random() % 16) {
            case 0:
                model.set_priority(which, static_cast<u32>(random() % 16));
                break;
            case 1:
                __atomic_fetch_or(&model.word(which), FifoGuest::MASKED, __ATOMIC_SEQ_CST);
                break;
            case 2:
                if (needs_unmask(model.word(which)))
                    model.unmask(which);
                break;
            case 3:
            case 4:
            case 5:
            case 6:
                model.send(which);
                break;
            default:
                (void)consumer.step();
            }
        }
        consumer.run_dry();
        model.expect_nothing_lost();
        for (u32 which = 0; which < NR_PORTS; which++)
            if (needs_unmask(model.word(which)))
                model.unmask(which);
        consumer.run_dry();
        for (u32 which = 0; which < NR_PORTS; which++)
            ASSERT_EQ(model.noted[which], model.sent[which]) << "seed " << seed << " port " << model.ports[which];
        ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    }
}

/// From dry queues, all that is sent before the guest looks comes by priority, and in order within one.
TEST(FifoModel, OrderIsByPriorityThenByTime) {
    std::mt19937_64 random{7};
    Model model;
    Consumer consumer{model};
    for (unsigned round = 0; round < 300; round++) {
        std::vector<std::pair<u32, u32>> wanted; // priority, port
        for (u32 which = 0; which < NR_PORTS; which++) {
            const u32 priority = static_cast<u32>(random() % 16);
            model.set_priority(which, priority);
            if (random() % 3 != 0) {
                model.send(which);
                wanted.emplace_back(priority, model.ports[which]);
            }
        }
        std::stable_sort(wanted.begin(), wanted.end(), [](auto& a, auto& b) { return a.first < b.first; });
        consumer.order.clear();
        consumer.run_dry();
        std::vector<u32> ports;
        for (const auto& [priority, port] : wanted)
            ports.push_back(port);
        ASSERT_EQ(consumer.order, ports) << "round " << round;
    }
}

/// The guest on another processor. The core itself runs on one at a time.
TEST(FifoModel, NoEventIsLostToAGuestThatRunsAtTheSameTime) {
    Model model;
    std::mutex core;
    std::atomic<bool> done{false};
    std::thread guest{[&] {
        Consumer consumer{model};
        std::mt19937_64 random{3};
        while (!done) {
            (void)consumer.step();
            const u32 which = static_cast<u32>(random() % NR_PORTS);
            if (random() % 64 == 0)
                __atomic_fetch_or(&model.word(which), FifoGuest::MASKED, __ATOMIC_SEQ_CST);
            if (random() % 8 == 0 && needs_unmask(model.word(which))) {
                const std::lock_guard lock{core};
                model.unmask(which);
            }
        }
        for (u32 which = 0; which < NR_PORTS; which++)
            if (needs_unmask(model.word(which)))
                model.unmask(which);
        consumer.run_dry();
    }};
    std::mt19937_64 random{5};
    for (unsigned i = 0; i < 200'000; i++) {
        const std::lock_guard lock{core};
        const u32 which = static_cast<u32>(random() % NR_PORTS);
        if (random() % 32 == 0)
            model.set_priority(which, static_cast<u32>(random() % 4));
        model.send(which);
    }
    done = true;
    guest.join();
    for (u32 which = 0; which < NR_PORTS; which++)
        EXPECT_EQ(model.noted[which], model.sent[which]) << "port " << model.ports[which];
}

} // namespace
} // namespace parapet::nucleus::test
