// SPDX-License-Identifier: Apache-2.0
// The backend's end of a ring against a frontend made of Xen's own macros, and against ones that lie.
#include "iorings/rings/shared_ring.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#define xen_mb() std::atomic_thread_fence(std::memory_order_seq_cst)
#define xen_rmb() std::atomic_thread_fence(std::memory_order_acquire)
#define xen_wmb() std::atomic_thread_fence(std::memory_order_release)
#include <xen/io/ring.h>

namespace parapet::rings::test {
namespace {

constexpr std::size_t page_size = GuestFrames::frame_size;

/// As large as a block request: slots straddle pages.
struct Request {
    std::uint64_t id;
    std::uint8_t body[104];
};
struct Response {
    std::uint64_t id;
    std::uint16_t status;
};
DEFINE_RING_TYPES(wide, Request, Response);
using Ring = SharedRing<Request, Response>;

/// Two views of the same pages: one range for the frontend, pages here and there, in falling order, for the backend.
class Pages {
public:
    explicit Pages(std::size_t count) : count_{count}, fd_{memfd_create("ring", MFD_CLOEXEC)} {
        EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(count * page_size)), 0);
        range_ = map(nullptr, count, 0);
        room_ = map(nullptr, count, 0);
        for (std::size_t i = 0; i < count; i++) {
            scattered_.push_back(map(room_ + (count - 1 - i) * page_size, 1, i));
        }
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() {
        munmap(range_, count_ * page_size);
        munmap(room_, count_ * page_size);
        close(fd_);
    }
    [[nodiscard]] std::byte* range() const { return range_; }
    [[nodiscard]] RingPages scattered() const { return RingPages{scattered_}; }

private:
    [[nodiscard]] std::byte* map(std::byte* at, std::size_t count, std::size_t first) const {
        void* mapped = mmap(at, count * page_size, PROT_READ | PROT_WRITE, MAP_SHARED | (at != nullptr ? MAP_FIXED : 0),
                            fd_, static_cast<off_t>(first * page_size));
        EXPECT_NE(mapped, MAP_FAILED);
        return static_cast<std::byte*>(mapped);
    }
    std::size_t count_;
    int fd_;
    std::byte *range_, *room_;
    std::vector<std::byte*> scattered_;
};

struct Rings {
    explicit Rings(std::size_t count = 1, std::uint32_t start = 0) : pages{count} {
        auto* shared = reinterpret_cast<wide_sring_t*>(pages.range());
        SHARED_RING_INIT(shared);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion" // Xen's macro
        FRONT_RING_INIT(&front, shared, count * page_size);
#pragma GCC diagnostic pop
        shared->req_prod = shared->rsp_prod = front.req_prod_pvt = front.rsp_cons = start;
        shared->req_event = shared->rsp_event = start + 1;
        back = Ring{pages.scattered()};
    }
    void put(std::uint64_t id) {
        Request& slot = *RING_GET_REQUEST(&front, front.req_prod_pvt);
        slot.id = id;
        for (std::size_t i = 0; i < sizeof(slot.body); i++) {
            slot.body[i] = static_cast<std::uint8_t>(id + i);
        }
        front.req_prod_pvt++;
    }
    /// True: the frontend would signal.
    bool push() {
        int notify = 0;
        RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, notify);
        return notify != 0;
    }
    void expect_request(std::uint64_t id) {
        Request request{};
        ASSERT_EQ(back.fetch(request), Ring::Fetch::request);
        ASSERT_EQ(request.id, id);
        for (std::size_t i = 0; i < sizeof(request.body); i++) {
            ASSERT_EQ(request.body[i], static_cast<std::uint8_t>(id + i));
        }
    }
    Ring::Fetch fetch() {
        Request request{};
        return back.fetch(request);
    }
    [[nodiscard]] bool front_has_response() {
        return RING_HAS_UNCONSUMED_RESPONSES(&front) != 0;
    }
    Response take_response() {
        const Response response = *RING_GET_RESPONSE(&front, front.rsp_cons);
        front.rsp_cons++;
        return response;
    }
    bool front_final_check() {
        int more = 0;
        RING_FINAL_CHECK_FOR_RESPONSES(&front, more);
        return more != 0;
    }
    void set_req_prod(std::uint32_t value) {
        std::atomic_ref{front.sring->req_prod}.store(value);
    }

    Pages pages;
    wide_front_ring_t front{};
    Ring back;
};

TEST(SharedRing, HasAsManySlotsAsXensMacrosSay) {
    EXPECT_EQ(Ring::slot_size, sizeof(union wide_sring_entry));
    for (const std::size_t count : {1, 2, 3, 4, 8, 16}) {
        Rings rings{count};
        EXPECT_EQ(rings.back.slots(), RING_SIZE(&rings.front)) << count << " pages";
    }
    struct Small {
        std::uint16_t id;
        std::uint32_t reference;
    };
    EXPECT_EQ((SharedRing<Small, Small>{Pages{1}.scattered()}.slots()), 256U);
    struct Twelve {
        std::uint32_t word[3];
    };
    EXPECT_EQ((SharedRing<Twelve, std::uint64_t>::slot_size), 16U) << "a union is as aligned as its members";
}

TEST(SharedRing, AnEmptyRingHasNoRequests) {
    Ring ring;
    Request request{};
    EXPECT_EQ(ring.fetch(request), Ring::Fetch::none);
    EXPECT_EQ(ring.slots(), 0U);
}

/// Every slot of rings of several pages, many times round, over the wrap of the indices.
TEST(SharedRing, CarriesRequestsAndResponsesRoundAndRound) {
    for (const std::size_t count : {1, 2, 4, 16}) {
        Rings rings{count, 0xffffffff - 100};
        const std::uint32_t slots = rings.back.slots();
        std::uint64_t next = 0, answered = 0, seen = 0;
        for (std::uint32_t round = 0; round < 10; round++) {
            for (std::uint32_t i = 0; i < slots; i++) {
                rings.put(next++);
            }
            (void)rings.push();
            for (std::uint32_t i = 0; i < slots; i++) {
                rings.expect_request(next - slots + i);
            }
            ASSERT_EQ(rings.fetch(), Ring::Fetch::none);
            ASSERT_EQ(rings.back.unanswered(), slots);
            for (std::uint32_t i = 0; i < slots; i++) {
                rings.back.respond({answered, static_cast<std::uint16_t>(answered * 3)});
                answered++;
            }
            ASSERT_FALSE(rings.front_has_response()) << "before publish()";
            (void)rings.back.publish();
            while (rings.front_has_response()) {
                const Response response = rings.take_response();
                ASSERT_EQ(response.id, seen);
                ASSERT_EQ(response.status, static_cast<std::uint16_t>(seen * 3));
                seen++;
            }
            ASSERT_EQ(seen, next);
        }
    }
}

TEST(SharedRing, AnswersOutOfOrderWhileRequestsAreInFlight) {
    Rings rings;
    for (std::uint64_t id = 0; id < 32; id++) {
        rings.put(id);
    }
    (void)rings.push();
    for (std::uint64_t id = 0; id < 20; id++) {
        rings.expect_request(id);
    }
    for (const std::uint64_t id : {19, 3, 7}) { // into the slots of requests 0, 1, 2
        rings.back.respond({id, 0});
    }
    (void)rings.back.publish();
    for (std::uint64_t id = 20; id < 32; id++) {
        rings.expect_request(id);
    }
    EXPECT_EQ(rings.take_response().id, 19U);
    EXPECT_EQ(rings.take_response().id, 3U);
    EXPECT_EQ(rings.take_response().id, 7U);
    EXPECT_FALSE(rings.front_has_response());
    EXPECT_EQ(rings.back.unanswered(), 29U);
}

TEST(SharedRing, AttachesWhereTheFrontendIs) {
    Rings rings{1, 1000};
    rings.put(5);
    (void)rings.push();
    rings.expect_request(5);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::none);
}

TEST(SharedRing, MoreRequestsThanSlots) {
    Rings rings{1, 0xfffffff0};
    rings.set_req_prod(0xfffffff0 + rings.back.slots() + 1);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::broken);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::broken);
    EXPECT_EQ(rings.back.unanswered(), 0U);
    rings.set_req_prod(0xfffffff0 + rings.back.slots());
    for (std::uint32_t i = 0; i < rings.back.slots(); i++) {
        ASSERT_EQ(rings.fetch(), Ring::Fetch::request);
    }
    EXPECT_EQ(rings.fetch(), Ring::Fetch::none);
    // All slots are taken: not even one more.
    rings.set_req_prod(0xfffffff0 + rings.back.slots() + 1);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::broken);
    rings.back.respond({});
    EXPECT_EQ(rings.fetch(), Ring::Fetch::request) << "a response makes room, published or not";
}

/// An index that goes back would otherwise be chased through 2^32 requests.
TEST(SharedRing, IndexGoesBack) {
    Rings rings;
    for (std::uint64_t id = 0; id < 8; id++) {
        rings.put(id);
    }
    (void)rings.push();
    for (std::uint64_t id = 0; id < 8; id++) {
        rings.expect_request(id);
    }
    for (const std::uint32_t back : {7U, 1U, 0U, 0xffffffffU, 0x80000000U}) {
        rings.set_req_prod(back);
        EXPECT_EQ(rings.fetch(), Ring::Fetch::broken) << back;
        EXPECT_EQ(rings.back.unanswered(), 8U);
    }
    rings.set_req_prod(8);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::none);
}

/// What is taken once is not read again: not the index of a batch, nor a request.
TEST(SharedRing, ChangesAfterTheFact) {
    Rings rings;
    rings.put(1);
    rings.put(2);
    (void)rings.push();
    Request first{};
    ASSERT_EQ(rings.back.fetch(first), Ring::Fetch::request);
    RING_GET_REQUEST(&rings.front, 0)->id = 99;
    rings.set_req_prod(0x12345678); // within the batch seen already
    EXPECT_EQ(first.id, 1U);
    rings.expect_request(2);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::broken);
    // The guest's copy of our index is nothing to us.
    std::atomic_ref{rings.front.sring->rsp_prod}.store(0xdeadbeef);
    rings.set_req_prod(2);
    EXPECT_EQ(rings.fetch(), Ring::Fetch::none);
    rings.back.respond({7, 0});
    (void)rings.back.publish();
    EXPECT_EQ(rings.front.sring->rsp_prod, 1U);
}

TEST(SharedRing, FrontendSignalsOnlyWhenAsked) {
    Rings rings;
    rings.put(0);
    EXPECT_TRUE(rings.push()) << "req_event is 1 at start";
    rings.expect_request(0);
    rings.put(1);
    EXPECT_FALSE(rings.push()) << "the backend did not say that it sleeps";
    EXPECT_TRUE(rings.back.final_check()) << "and finds the request that came silently";
    rings.expect_request(1);
    EXPECT_FALSE(rings.back.final_check());
    rings.put(2);
    EXPECT_TRUE(rings.push());
}

TEST(SharedRing, BackendSignalsOnlyWhenAsked) {
    Rings rings;
    for (std::uint64_t id = 0; id < 6; id++) {
        rings.put(id);
    }
    (void)rings.push();
    for (std::uint64_t id = 0; id < 6; id++) {
        rings.expect_request(id);
    }
    EXPECT_FALSE(rings.back.publish()) << "nothing to tell";
    rings.back.respond({0, 0});
    EXPECT_TRUE(rings.back.publish()) << "rsp_event is 1 at start";
    rings.back.respond({1, 0});
    EXPECT_FALSE(rings.back.publish()) << "the frontend has not asked again";
    (void)rings.take_response();
    EXPECT_TRUE(rings.front_final_check());
    (void)rings.take_response();
    EXPECT_FALSE(rings.front_final_check());
    rings.back.respond({2, 0});
    rings.back.respond({3, 0});
    EXPECT_TRUE(rings.back.publish()) << "one signal for two";
    rings.front.sring->rsp_event = 6; // wake me at the sixth
    rings.back.respond({4, 0});
    EXPECT_FALSE(rings.back.publish());
    rings.back.respond({5, 0});
    EXPECT_TRUE(rings.back.publish());
}

TEST(SharedRing, SignalsAcrossTheWrap) {
    Rings rings{1, 0xffffffff};
    for (int round = 0; round < 4; round++) {
        rings.put(1);
        EXPECT_TRUE(rings.push());
        rings.expect_request(1);
        EXPECT_FALSE(rings.back.final_check());
        rings.back.respond({1, 0});
        EXPECT_TRUE(rings.back.publish());
        (void)rings.take_response();
        EXPECT_FALSE(rings.front_final_check());
    }
}

/// Two threads that sleep by the rules of the event indices: neither is ever left asleep with work to do.
TEST(SharedRing, NoSignalIsLost) {
    Rings rings{2, 0xffffff00};
    constexpr std::uint64_t total = 100'000;
    std::atomic<unsigned> to_back = 0, to_front = 0; // as an eventfd: counts signals
    const auto raise = [](std::atomic<unsigned>& line) {
        line++;
        line.notify_one();
    };
    const auto sleep = [](std::atomic<unsigned>& line, unsigned& seen) {
        line.wait(seen);
        seen = line.load();
    };
    std::thread backend{[&] {
        unsigned seen = 0;
        for (std::uint64_t done = 0; done < total;) {
            Request request{};
            while (rings.back.fetch(request) == Ring::Fetch::request) {
                rings.back.respond({request.id, 0});
                done++;
                if (done % 3 == 0 && rings.back.publish()) {
                    raise(to_front);
                }
            }
            if (rings.back.publish()) {
                raise(to_front);
            }
            if (done < total && !rings.back.final_check()) {
                sleep(to_back, seen);
            }
        }
    }};
    unsigned seen = 0;
    std::uint64_t sent = 0;
    for (std::uint64_t received = 0; received < total;) {
        while (sent < total && !RING_FULL(&rings.front)) {
            rings.put(sent++);
            if (sent % 5 == 0 && rings.push()) {
                raise(to_back);
            }
        }
        if (rings.push()) {
            raise(to_back);
        }
        while (rings.front_has_response()) {
            xen_rmb();
            ASSERT_EQ(rings.take_response().id, received);
            received++;
        }
        if (received < total && !rings.front_final_check() && !(sent < total && !RING_FULL(&rings.front))) {
            sleep(to_front, seen);
        }
    }
    backend.join();
    EXPECT_LT(to_back + to_front, 2 * total);
}

/// A frontend that writes anything at any time: no request too many, no byte outside the pages (under ASan).
TEST(SharedRing, GuestScribbles) {
    Rings rings{2};
    std::atomic<bool> over = false;
    std::thread guest{[&] {
        std::uint64_t seed = 1;
        while (!over) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            const auto word = static_cast<std::uint32_t>(seed >> 33);
            auto* words = reinterpret_cast<std::uint32_t*>(rings.pages.range());
            std::atomic_ref{words[word % 4]}.store((word & 16) != 0 ? word >> 5 : word >> 26);
        }
    }};
    std::uint64_t fetched = 0;
    for (int i = 0; i < 200'000; i++) {
        Request request{};
        if (rings.back.fetch(request) == Ring::Fetch::request) {
            fetched++;
        }
        ASSERT_LE(rings.back.unanswered(), rings.back.slots());
        if (i % 3 == 0 && rings.back.unanswered() != 0) {
            rings.back.respond({request.id, 0});
        }
        (void)rings.back.publish();
        (void)rings.back.final_check();
    }
    over = true;
    guest.join();
}

} // namespace
} // namespace parapet::rings::test
