// SPDX-License-Identifier: Apache-2.0
// What an honest guest does.
#include "tests/unit/disk/block_fixture.hpp"

#include <gtest/gtest.h>

#include <set>

namespace parapet::disk_test {
namespace {

using abi::BLKIF_OP_DISCARD;
using abi::BLKIF_OP_FLUSH_DISKCACHE;
using abi::BLKIF_OP_INDIRECT;
using abi::BLKIF_OP_READ;
using abi::BLKIF_OP_WRITE;
using abi::BLKIF_OP_WRITE_BARRIER;
using abi::BLKIF_RSP_EOPNOTSUPP;
using abi::BLKIF_RSP_ERROR;
using abi::BLKIF_RSP_OKAY;
using F = Frontend<>;

TEST_F(BlockTest, OffersWhatTheTargetCan) {
    make("queues=3,persistent=yes");
    const auto nodes = backend->offer();
    EXPECT_EQ(value(nodes, "feature-barrier"), "1");
    EXPECT_EQ(value(nodes, "feature-flush-cache"), "1");
    EXPECT_EQ(value(nodes, "feature-persistent"), "1");
    EXPECT_EQ(value(nodes, "feature-max-indirect-segments"), "256");
    EXPECT_EQ(value(nodes, "max-ring-page-order"), "4");
    EXPECT_EQ(value(nodes, "multi-queue-max-queues"), "3");
    EXPECT_EQ(value(nodes, "feature-discard"), "1");
    EXPECT_EQ(value(nodes, "discard-granularity"), "4096");
    EXPECT_EQ(value(backend->frontend_nodes(), "virtual-device"), "51712");
    EXPECT_EQ(value(backend->backend_nodes(), "mode"), "w");
    EXPECT_EQ(value(backend->backend_nodes(), "params"), "test.img") << "no path of the host";
}

TEST_F(BlockTest, OffersNoDiscardWhereItIsNotWanted) {
    make("no-discard");
    EXPECT_EQ(value(backend->offer(), "feature-discard"), "0");
    EXPECT_EQ(value(backend->backend_nodes(), "discard-enable"), "0");
}

TEST_F(BlockTest, SaysWhatTheDiskIs) {
    make("devtype=cdrom");
    auto frontend = std::make_unique<F>(guest, 0, 5);
    name_ring(*frontend);
    const auto nodes = connect();
    ASSERT_TRUE(nodes.ok());
    EXPECT_EQ(value(*nodes, "sectors"), std::to_string(disk_bytes / 512));
    EXPECT_EQ(value(*nodes, "sector-size"), "512");
    EXPECT_EQ(value(*nodes, "info"), "7"); // cdrom, removable, read-only
    EXPECT_EQ(value(backend->frontend_nodes(), "device-type"), "cdrom");
    EXPECT_EQ(value(backend->backend_nodes(), "mode"), "r");
}

template <typename W>
class BothWidths : public BlockTest {};
using Widths = testing::Types<std::uint64_t, std::uint32_t>;
TYPED_TEST_SUITE(BothWidths, Widths);

TYPED_TEST(BothWidths, ReadsAndWritesInPlace) {
    this->make();
    auto frontend = this->template start<TypeParam>();
    const auto first = this->guest.allocate(2);
    auto read = Frontend<TypeParam>::request(BLKIF_OP_READ, 0x1122334455667788, 16);
    Frontend<TypeParam>::add(read, this->guest.grant(first), 1, 2);
    Frontend<TypeParam>::add(read, this->guest.grant(first + 1), 0, 7);
    frontend->post(read);
    const auto response = frontend->response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->id, 0x1122334455667788u);
    EXPECT_EQ(response->operation, BLKIF_OP_READ);
    EXPECT_EQ(response->status, BLKIF_RSP_OKAY);
    EXPECT_EQ(std::memcmp(this->guest.page(first) + 512, this->target->data.data() + 16 * 512, 1024), 0);
    EXPECT_EQ(std::memcmp(this->guest.page(first + 1), this->target->data.data() + 18 * 512, 4096), 0);
    EXPECT_EQ(this->guest.page(first)[0], std::byte{}) << "outside the segment";
    EXPECT_EQ(this->guest.page(first)[3 * 512], std::byte{}) << "outside the segment";

    std::memset(this->guest.page(first), 0x5a, 4096);
    auto write = Frontend<TypeParam>::request(BLKIF_OP_WRITE, 2, 100);
    Frontend<TypeParam>::add(write, this->guest.grant(first, true), 3, 3);
    frontend->post(write);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    EXPECT_EQ(this->target->data[100 * 512], std::byte{0x5a});
    EXPECT_NE(this->target->data[101 * 512 + 5], std::byte{0x5a});
    EXPECT_EQ(this->target->done.back(), "write 51200+512");
    EXPECT_EQ(this->count("bytes_read"), 5120u);
    EXPECT_EQ(this->count("bytes_written"), 512u);
    EXPECT_GE(this->guest.signals(5), 1u);
}

TYPED_TEST(BothWidths, Discards) {
    this->make();
    auto frontend = this->template start<TypeParam>();
    abi::blkif_request_discard_t<TypeParam> discard{};
    discard.operation = BLKIF_OP_DISCARD;
    discard.id = 9;
    discard.sector_number = 8;
    discard.nr_sectors = 1000;
    frontend->post(discard);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    EXPECT_EQ(this->target->done.back(), "discard 4096+512000");
    EXPECT_EQ(this->count("bytes_discarded"), 512000u);
}

TYPED_TEST(BothWidths, ReadsIndirectly) {
    this->make();
    auto frontend = this->template start<TypeParam>();
    constexpr unsigned segments = 256;
    const auto data = this->guest.allocate(segments);
    const auto list = this->guest.allocate();
    auto* entries = reinterpret_cast<abi::blkif_request_segment*>(this->guest.page(list));
    for (unsigned index = 0; index < segments; ++index) {
        entries[index] = {this->guest.grant(data + index), 0, 7};
    }
    abi::blkif_request_indirect_t<TypeParam> indirect{};
    indirect.operation = BLKIF_OP_INDIRECT;
    indirect.indirect_op = BLKIF_OP_READ;
    indirect.nr_segments = segments;
    indirect.id = 77;
    indirect.sector_number = 64;
    indirect.indirect_grefs[0] = this->guest.grant(list);
    frontend->post(indirect);
    const auto response = frontend->response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, BLKIF_RSP_OKAY);
    EXPECT_EQ(response->id, 77u);
    EXPECT_EQ(response->operation, BLKIF_OP_READ) << "Linux wants the inner one";
    EXPECT_EQ(std::memcmp(this->guest.page(data), this->target->data.data() + 64 * 512, segments * 4096), 0);
    EXPECT_EQ(this->count("indirect"), 1u);
    EXPECT_EQ(this->count("merged"), segments - 1) << "neighbours are one piece of memory";
}

TEST_F(BlockTest, UsesRingsOfSeveralPages) {
    make();
    auto frontend = start(3);
    EXPECT_EQ(frontend->slots, 256u);
    const auto frame = guest.allocate();
    const auto ref = guest.grant(frame);
    for (unsigned turn = 0; turn < 1000; ++turn) {
        auto request = F::request(turn % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE, turn, turn * 8);
        F::add(request, ref);
        frontend->put(request);
        if (turn % 100 == 99) {
            frontend->push();
            std::set<std::uint64_t> ids;
            for (unsigned index = 0; index < 100; ++index) {
                const auto response = frontend->response();
                ASSERT_TRUE(response);
                EXPECT_EQ(response->status, BLKIF_RSP_OKAY);
                ids.insert(response->id);
            }
            EXPECT_EQ(ids.size(), 100u);
        }
    }
}

TEST_F(BlockTest, ServesSeveralQueues) {
    make("queues=4");
    std::vector<std::unique_ptr<F>> queues;
    node("multi-queue-num-queues", "3");
    for (unsigned index = 0; index < 3; ++index) {
        queues.push_back(std::make_unique<F>(guest, 1, 10 + index));
        name_ring(*queues.back(), "queue-" + std::to_string(index) + "/");
    }
    connected();
    EXPECT_EQ(count("queues"), 3u);
    for (auto& queue : queues) {
        auto request = F::request(BLKIF_OP_READ, queue->port, 0);
        F::add(request, guest.grant(guest.allocate()));
        queue->post(request);
    }
    for (auto& queue : queues) {
        const auto response = queue->response();
        ASSERT_TRUE(response);
        EXPECT_EQ(response->id, queue->port);
    }
}

TEST_F(BlockTest, AnswersInTheOrderOfCompletion) {
    make();
    target->held = true;
    auto frontend = start();
    for (unsigned id = 0; id < 4; ++id) {
        auto request = F::request(BLKIF_OP_READ, id, id);
        F::add(request, guest.grant(guest.allocate()), 0, 0);
        frontend->put(request);
    }
    frontend->push();
    ASSERT_TRUE(submitted(4));
    for (const std::uint64_t id : {2, 0, 3, 1}) {
        guest.on_io([&] {
            const auto found = std::ranges::find(target->waiting, id * 512, &disk::TargetRequest::offset);
            target->finish(static_cast<std::size_t>(found - target->waiting.begin()));
        });
        const auto response = frontend->response();
        ASSERT_TRUE(response);
        EXPECT_EQ(response->id, id);
    }
}

/// While some are under way it looks for a moment by itself, and asks for a signal then: no request may fall in
/// between.
TEST_F(BlockTest, TakesEachRequestWhetherItAskedForASignalOrNot) {
    make();
    target->held = true;
    auto frontend = start();
    ASSERT_TRUE(guest.run_until([&] { return frontend->word(4).load() == 1; }));
    unsigned unasked = 0;
    for (unsigned id = 0; id < 3000; ++id) {
        frontend->put(F::request(BLKIF_OP_FLUSH_DISKCACHE, id, 0));
        unasked += frontend->push_as_asked() ? 0 : 1;
        if (id % 16 == 15) {
            ASSERT_TRUE(submitted(id + 1)) << "of those posted without a signal " << unasked;
            guest.on_io([&] {
                while (!target->waiting.empty()) {
                    target->finish(0);
                }
            });
            for (unsigned count = 0; count < 16; ++count) {
                ASSERT_TRUE(frontend->response());
            }
        } else if (id % 7 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds{id % 200});
        }
    }
    EXPECT_GT(unasked, 0u);
}

TEST_F(BlockTest, FlushesWithAndWithoutData) {
    make();
    auto frontend = start();
    frontend->post(F::request(BLKIF_OP_FLUSH_DISKCACHE, 1, 0));
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    auto with_data = F::request(BLKIF_OP_FLUSH_DISKCACHE, 2, 8);
    F::add(with_data, guest.grant(guest.allocate()));
    frontend->post(with_data);
    const auto response = frontend->response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->operation, BLKIF_OP_FLUSH_DISKCACHE);
    EXPECT_EQ(target->done, (std::vector<std::string>{"flush", "flush", "write 4096+4096 fua"}));
}

TEST_F(BlockTest, ABarrierWaitsForAllBeforeAndIsWaitedFor) {
    make();
    target->held = true;
    auto frontend = start();
    const auto ref = guest.grant(guest.allocate());
    const auto put = [&](std::uint8_t operation, std::uint64_t id) {
        auto request = F::request(operation, id, id * 8);
        F::add(request, ref);
        frontend->put(request);
    };
    put(BLKIF_OP_WRITE, 0);
    put(BLKIF_OP_WRITE, 1);
    put(BLKIF_OP_WRITE_BARRIER, 2);
    put(BLKIF_OP_WRITE, 3);
    frontend->push();
    ASSERT_TRUE(submitted(2));
    guest.on_io([&] { target->finish(1); });
    ASSERT_TRUE(frontend->response());
    EXPECT_EQ(target->submitted, 2u) << "one write is still under way";
    guest.on_io([&] { target->finish(0); });
    ASSERT_TRUE(frontend->response());
    ASSERT_TRUE(submitted(3));
    guest.on_io([&] { target->finish(0); }); // its flush
    ASSERT_TRUE(submitted(4));
    EXPECT_FALSE(frontend->response(20ms));
    EXPECT_EQ(target->submitted, 4u) << "what follows waits for it";
    guest.on_io([&] { target->finish(0); });
    EXPECT_EQ(frontend->response().value().id, 2u);
    ASSERT_TRUE(submitted(5));
    guest.on_io([&] { target->finish(0); });
    EXPECT_EQ(frontend->response().value().id, 3u);
    EXPECT_EQ(target->done, (std::vector<std::string>{"write 0+4096", "write 4096+4096", "flush", "write 8192+4096 fua",
                                                      "write 12288+4096"}));
}

TEST_F(BlockTest, PersistentGrantsStayAndAreLimited) {
    make("persistent=yes");
    node("feature-persistent", "1");
    auto frontend = start(0);
    const auto frame = guest.allocate();
    const auto ref = guest.grant(frame);
    for (unsigned turn = 0; turn < 3; ++turn) {
        auto request = F::request(turn == 1 ? BLKIF_OP_WRITE : BLKIF_OP_READ, turn, 0);
        F::add(request, ref);
        frontend->post(request);
        EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
        EXPECT_TRUE(guest.marked(ref));
    }
    EXPECT_EQ(guest.leases(), 2u); // the ring, and this
    for (unsigned turn = 0; turn < 1200; ++turn) {
        auto request = F::request(BLKIF_OP_READ, turn, 0);
        F::add(request, guest.grant(frame));
        frontend->post(request);
        ASSERT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    }
    EXPECT_EQ(guest.leases(), 1u + disk::most_persistent_grants);
    EXPECT_FALSE(guest.marked(ref)) << "the one used longest ago went";
    // A grant for reading only is as good for writing to the disk.
    auto write = F::request(BLKIF_OP_WRITE, 1, 0);
    F::add(write, guest.grant(frame, true));
    frontend->post(write);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
}

TEST_F(BlockTest, GrantsAreGivenBackBeforeTheAnswer) {
    make();
    node("feature-persistent", "1"); // not offered
    auto frontend = start();
    for (unsigned turn = 0; turn < 100; ++turn) {
        const auto ref = guest.grant(guest.allocate());
        auto request = F::request(BLKIF_OP_READ, turn, 0);
        F::add(request, ref);
        frontend->post(request);
        EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
        EXPECT_FALSE(guest.marked(ref));
    }
}

TEST_F(BlockTest, LargeSectorsAreKeptWhole) {
    make("sector-size=4096");
    auto frontend = std::make_unique<F>(guest, 0, 5);
    name_ring(*frontend);
    const auto nodes = connect();
    ASSERT_TRUE(nodes.ok());
    EXPECT_EQ(value(*nodes, "sector-size"), "4096");
    EXPECT_EQ(value(*nodes, "physical-sector-size"), "4096");
    EXPECT_EQ(value(*nodes, "sectors"), std::to_string(disk_bytes / 512)); // in units of 512, as Linux reads it
    const auto ref = guest.grant(guest.allocate());
    const auto status = [&](std::uint64_t sector, std::uint8_t last) {
        auto request = F::request(BLKIF_OP_READ, 1, sector);
        F::add(request, ref, 0, last);
        frontend->post(request);
        return frontend->status();
    };
    EXPECT_EQ(status(8, 7), BLKIF_RSP_OKAY);
    EXPECT_EQ(status(4, 7), BLKIF_RSP_ERROR);
    EXPECT_EQ(status(8, 3), BLKIF_RSP_ERROR);
}

TEST_F(BlockTest, ReportsErrorsOfTheTarget) {
    make();
    auto frontend = start();
    target->next_result = -EIO;
    auto request = F::request(BLKIF_OP_READ, 1, 0);
    F::add(request, guest.grant(guest.allocate()));
    frontend->post(request);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
    target->next_result = -EOPNOTSUPP;
    frontend->post(F::request(BLKIF_OP_FLUSH_DISKCACHE, 2, 0));
    EXPECT_EQ(frontend->status(), BLKIF_RSP_EOPNOTSUPP);
    EXPECT_EQ(count("errors"), 2u);
    ASSERT_TRUE(guest.run_until([&] { return guest.log.size() == 2; }));
    EXPECT_EQ(guest.log[0], "xvda: reading 4096 bytes at 0 failed: Input/output error");
}

TEST_F(BlockTest, WaitsForTheTargetToRecover) {
    make("on-error=wait");
    auto frontend = start();
    target->next_result = -ENOSPC;
    auto request = F::request(BLKIF_OP_WRITE, 1, 0);
    F::add(request, guest.grant(guest.allocate()));
    frontend->post(request);
    ASSERT_TRUE(submitted(2)) << "tried again";
    EXPECT_FALSE(frontend->response(50ms));
    target->next_result = 0;
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    ASSERT_TRUE(guest.run_until([&] { return guest.log.size() == 2; }));
    EXPECT_EQ(guest.log[1], "xvda: it works again, and all that waited is done");
    EXPECT_GE(count("retries"), 1u);
}

TEST_F(BlockTest, SaysOnceThatRequestsWaitAndOnceThatTheyAreDone) {
    make("on-error=wait");
    auto frontend = start();
    for (const std::size_t fault : {0u, 1u}) {
        target->next_result = -ENOSPC;
        const auto errors = count("errors");
        for (unsigned id = 0; id < 12; ++id) { // more than say() lets through
            auto request = F::request(BLKIF_OP_WRITE, id, id * 64);
            F::add(request, guest.grant(guest.allocate()));
            frontend->post(request);
        }
        ASSERT_TRUE(guest.run_until([&] { return count("errors") >= errors + 12; }));
        target->next_result = 0;
        for (unsigned id = 0; id < 12; ++id) {
            EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
        }
        ASSERT_TRUE(guest.run_until([&] { return guest.log.size() == 2 * (fault + 1); }));
        EXPECT_TRUE(guest.log[2 * fault].ends_with("the guest waits until it works")) << guest.log[2 * fault];
        EXPECT_TRUE(guest.log[2 * fault + 1].ends_with("all that waited is done")) << guest.log[2 * fault + 1];
    }
}

TEST_F(BlockTest, AFlushThatCannotSucceedAnyMoreIsNotWaitedFor) {
    make("on-error=wait");
    auto frontend = start();
    target->next_result = -EIO;
    frontend->post(F::request(BLKIF_OP_FLUSH_DISKCACHE, 1, 0));
    ASSERT_TRUE(submitted(1));
    target->next_result = -ENOTRECOVERABLE; // as RawTarget says
    EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
}

TEST_F(BlockTest, DisconnectingEndsTheWait) {
    make("on-error=wait");
    auto frontend = start();
    target->next_result = -ENOSPC;
    auto request = F::request(BLKIF_OP_WRITE, 1, 0);
    F::add(request, guest.grant(guest.allocate()));
    frontend->post(request);
    ASSERT_TRUE(submitted(1));
    EXPECT_TRUE(disconnect());
    EXPECT_EQ(guest.leases(), 0u);
}

TEST_F(BlockTest, DisconnectsWhileBusyAndConnectsAgain) {
    make();
    target->held = true;
    auto frontend = start();
    const auto ref = guest.grant(guest.allocate());
    for (unsigned id = 0; id < 20; ++id) {
        auto request = F::request(id == 10 ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_WRITE, id, id * 8);
        F::add(request, ref);
        frontend->put(request);
    }
    frontend->push();
    ASSERT_TRUE(submitted(10));
    bool done = false, again = false;
    backend->disconnect([&] { done = true; });
    backend->disconnect([&] { again = true; });
    EXPECT_FALSE(guest.run_until([&] { return done; }, 50ms)) << "requests are under way";
    guest.on_io([&] {
        while (!target->waiting.empty()) {
            target->finish(target->waiting.size() - 1);
        }
    });
    ASSERT_TRUE(guest.run_until([&] { return done && again; }));
    EXPECT_EQ(guest.leases(), 0u);
    EXPECT_FALSE(guest.marked(ref));
    EXPECT_EQ(target->submitted, 10u) << "the barrier and what followed it were dropped";

    target->held = false;
    auto second = std::make_unique<F>(guest, 0, 6);
    name_ring(*second);
    connected();
    auto request = F::request(BLKIF_OP_READ, 99, 0);
    F::add(request, ref);
    second->post(request);
    EXPECT_EQ(second->response().value().id, 99u);
}

/// Not pushed yet.
void put_three_writes(F& frontend, std::uint32_t ref) {
    for (unsigned id = 0; id < 3; ++id) {
        auto request = F::request(BLKIF_OP_WRITE, id, id * 8);
        F::add(request, ref);
        frontend.put(request);
    }
}

/// By force: what the target waits for somewhere else is given up, tried again it is not, and the guest hears of it.
TEST_F(BlockTest, AbandonedWhileBusyItLetsGoAtOnce) {
    make("on-error=wait");
    target->held = true;
    auto frontend = start();
    put_three_writes(*frontend, guest.grant(guest.allocate()));
    frontend->push();
    ASSERT_TRUE(submitted(3));
    bool done = false;
    backend->disconnect([&] { done = true; });
    EXPECT_FALSE(guest.run_until([&] { return done; }, 50ms)) << "requests are under way";
    backend->abandon();
    ASSERT_TRUE(guest.run_until([&] { return done; }));
    EXPECT_EQ(guest.leases(), 0u);
    EXPECT_EQ(target->submitted, 3u);
    for (unsigned id = 0; id < 3; ++id) {
        EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
    }
    backend->abandon(); // once more, by another client
}

/// The word that the frontend is closed may be quicker than the signal of its last requests, and Linux waits for each.
TEST_F(BlockTest, DisconnectedItAnswersWhatWasPostedWithoutASignalYet) {
    make();
    auto frontend = start();
    put_three_writes(*frontend, guest.grant(guest.allocate()));
    frontend->push_silently();
    EXPECT_TRUE(disconnect());
    for (unsigned id = 0; id < 3; ++id) {
        EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    }
    EXPECT_EQ(guest.leases(), 0u);
}

TEST_F(BlockTest, DisconnectedItRefusesWhatItsLimitsHeldBack) {
    make("iops=1,iops-burst=1");
    auto frontend = start();
    put_three_writes(*frontend, guest.grant(guest.allocate()));
    frontend->push();
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    EXPECT_TRUE(disconnect());
    EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
    EXPECT_EQ(guest.leases(), 0u);
}

TEST_F(BlockTest, DisconnectingTheUnconnectedIsDoneAtOnce) {
    make();
    bool done = false;
    backend->disconnect([&] { done = true; });
    EXPECT_TRUE(done);
}

TEST_F(BlockTest, KeepsToItsLimits) {
    make("iops=200,iops-burst=10");
    auto frontend = start();
    const auto ref = guest.grant(guest.allocate());
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned id = 0; id < 60; ++id) {
        auto request = F::request(BLKIF_OP_READ, id, 0);
        F::add(request, ref);
        frontend->put(request);
        if (id % 30 == 29) {
            frontend->push();
            for (unsigned index = 0; index < 30; ++index) {
                ASSERT_EQ(frontend->status(), BLKIF_RSP_OKAY);
            }
        }
    }
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(took, 240ms); // 50 beyond the burst, 5 ms each
    EXPECT_LE(took, 5s);
    EXPECT_GE(count("throttled"), 1u);
}

TEST_F(BlockTest, LimitsBytesAcrossAndBeyondTheBurst) {
    make("bps=1MB/s,bps-burst=64KiB");
    auto frontend = start();
    const auto frames = guest.allocate(11);
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned turn = 0; turn < 8; ++turn) {
        auto request = F::request(BLKIF_OP_READ, turn, 0);
        for (unsigned index = 0; index < 11; ++index) {
            F::add(request, guest.grant(frames + index));
        }
        frontend->post(request);
        ASSERT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 240ms); // 8 * 45056 - 65536, the last unpaid
}

TEST_F(BlockTest, TellsTheGuestThatTheDiskGrew) {
    make();
    auto frontend = start();
    guest.on_io([&] { target->grow(disk_bytes * 2); });
    ASSERT_TRUE(guest.run_until([&] { return !published.empty(); }));
    EXPECT_EQ(value(published, "sectors"), std::to_string(disk_bytes * 2 / 512));
    auto request = F::request(BLKIF_OP_READ, 1, disk_bytes / 512);
    F::add(request, guest.grant(guest.allocate()));
    frontend->post(request);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
}

TEST_F(BlockTest, AnswersWhatItDoesNotKnow) {
    make("no-discard");
    auto frontend = start();
    for (const unsigned operation : {4u, 7u, 255u}) {
        frontend->post(F::request(static_cast<std::uint8_t>(operation), operation, 0));
        const auto response = frontend->response();
        ASSERT_TRUE(response);
        EXPECT_EQ(response->status, BLKIF_RSP_EOPNOTSUPP);
        EXPECT_EQ(response->id, operation);
        EXPECT_EQ(response->operation, operation);
    }
    abi::blkif_request_discard64 discard{};
    discard.operation = BLKIF_OP_DISCARD;
    discard.nr_sectors = 8;
    frontend->post(discard);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_EOPNOTSUPP);
    EXPECT_TRUE(target->done.empty());
}

} // namespace
} // namespace parapet::disk_test
