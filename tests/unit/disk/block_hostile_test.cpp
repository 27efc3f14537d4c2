// SPDX-License-Identifier: Apache-2.0
// What a hostile guest does: each time a refused request or a stopped device, a line in the log, and nothing else hurt.
#include "tests/unit/disk/block_fixture.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace parapet::disk_test {
namespace {

using abi::BLKIF_OP_DISCARD;
using abi::BLKIF_OP_FLUSH_DISKCACHE;
using abi::BLKIF_OP_INDIRECT;
using abi::BLKIF_OP_READ;
using abi::BLKIF_OP_WRITE;
using abi::BLKIF_OP_WRITE_BARRIER;
using abi::BLKIF_RSP_ERROR;
using abi::BLKIF_RSP_OKAY;
using F = Frontend<>;

class HostileTest : public BlockTest {
protected:
    void begin(const std::string& options = "") {
        make(options);
        frontend = BlockTest::start();
        frame = guest.allocate();
        ref = guest.grant(frame);
    }
    std::int16_t run(const F::Request& request) {
        frontend->post(request);
        return frontend->status();
    }
    /// A request like this is refused, the target not asked, nothing kept, and the next honest one served.
    void refused(const F::Request& request, const char* why) {
        const unsigned before = target->submitted;
        EXPECT_EQ(run(request), BLKIF_RSP_ERROR) << why;
        EXPECT_EQ(target->submitted, before) << why;
        EXPECT_EQ(guest.leases(), 1u) << why;
        EXPECT_TRUE(guest.run_until([&] { return logged(why); })) << why;
        guest.log.clear();
        auto honest = F::request(BLKIF_OP_READ, 1, 0);
        F::add(honest, ref);
        EXPECT_EQ(run(honest), BLKIF_RSP_OKAY) << why;
    }
    bool logged(const char* part) {
        return std::ranges::any_of(guest.log, [&](const auto& line) { return line.find(part) != line.npos; });
    }
    F::Request read_of(std::uint32_t reference, std::uint8_t first = 0, std::uint8_t last = 7) {
        auto request = F::request(BLKIF_OP_READ, 1, 0);
        F::add(request, reference, first, last);
        return request;
    }
    std::unique_ptr<F> frontend;
    std::uint64_t frame = 0;
    std::uint32_t ref = 0;
};

TEST_F(HostileTest, SectorsOutsideTheFrame) {
    begin();
    refused(read_of(ref, 7, 8), "outside its frame");
    refused(read_of(ref, 0, 255), "outside its frame");
    refused(read_of(ref, 5, 4), "outside its frame");
    refused(read_of(ref, 255, 255), "outside its frame");
}

TEST_F(HostileTest, SectorsOutsideTheDisk) {
    begin();
    constexpr std::uint64_t end = disk_bytes / 512;
    for (const std::uint64_t sector :
         {end, end - 7, std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max() - 7,
          std::uint64_t{1} << 55, std::uint64_t{1} << 63}) {
        auto request = read_of(ref);
        request.sector_number = sector;
        EXPECT_EQ(run(request), BLKIF_RSP_ERROR) << sector;
    }
    EXPECT_EQ(target->submitted, 0u);
    auto last = read_of(ref);
    last.sector_number = end - 8;
    EXPECT_EQ(run(last), BLKIF_RSP_OKAY);
}

TEST_F(HostileTest, SegmentCounts) {
    begin();
    auto request = read_of(ref);
    for (const unsigned count : {0u, 12u, 255u}) {
        request.nr_segments = static_cast<std::uint8_t>(count);
        EXPECT_EQ(run(request), BLKIF_RSP_ERROR) << count;
    }
    request.nr_segments = 12;
    refused(request, "no segments, or too many");
    auto barrier = F::request(BLKIF_OP_WRITE_BARRIER, 1, 0);
    barrier.nr_segments = 200;
    refused(barrier, "too many");
}

TEST_F(HostileTest, GrantsThatAreNone) {
    begin();
    const auto foreign = guest.allocate(), freed = guest.allocate(), table = guest.allocate(),
               revoked = guest.allocate();
    guest.set_frame(foreign, doorbell::FrameOwner::nobody, doorbell::FrameType::none);
    guest.set_frame(freed, doorbell::FrameOwner::free, doorbell::FrameType::none);
    guest.set_frame(table, doorbell::FrameOwner::domain, doorbell::FrameType::l1);
    refused(read_of(guest.grant(foreign)), "not the guest's");
    refused(read_of(guest.grant(freed)), "not the guest's");
    refused(read_of(guest.grant(table)), "page table");
    refused(read_of(guest.grant(0xffffffff)), "not the guest's");
    refused(read_of(guest.grant(0)), "not the guest's"); // the nucleus's
    refused(read_of(guest.grant(frame, true)), "does not grant");
    const auto gone = guest.grant(revoked);
    guest.revoke(gone);
    refused(read_of(gone), "does not grant");
    refused(read_of(0xffffffff), "beyond the table");
}

TEST_F(HostileTest, AReferenceJustBeyondTheTable) {
    begin();
    refused(read_of(FakeGuest::grant_frames * 512), "beyond the table");
    refused(read_of(FakeGuest::grant_frames * 512 - 1), "does not grant");
}

TEST_F(HostileTest, OneBadSegmentOfMany) {
    begin();
    auto request = F::request(BLKIF_OP_READ, 1, 0);
    for (unsigned index = 0; index < 10; ++index) {
        F::add(request, guest.grant(guest.allocate()));
    }
    F::add(request, 0xffffff);
    refused(request, "beyond the table");
}

TEST_F(HostileTest, WritesToAReadOnlyDisk) {
    begin("access=ro");
    auto write = read_of(ref);
    write.operation = BLKIF_OP_WRITE;
    refused(write, "read-only");
    write.operation = BLKIF_OP_WRITE_BARRIER;
    refused(write, "read-only");
    abi::blkif_request_discard64 discard{};
    discard.operation = BLKIF_OP_DISCARD;
    discard.nr_sectors = 8;
    frontend->post(discard);
    EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR);
    EXPECT_EQ(run(F::request(BLKIF_OP_FLUSH_DISKCACHE, 1, 0)), BLKIF_RSP_OKAY) << "harmless";
}

TEST_F(HostileTest, DiscardsOutsideTheDisk) {
    begin();
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max(), end = disk_bytes / 512;
    const std::pair<std::uint64_t, std::uint64_t> ranges[] = {
        {0, end + 1}, {end, 1}, {most, 2}, {8, most}, {8, most - 7}, {most, most}, {0, std::uint64_t{1} << 55}, {0, 0}};
    for (const auto& [sector, count] : ranges) {
        abi::blkif_request_discard64 discard{};
        discard.operation = BLKIF_OP_DISCARD;
        discard.flag = 0xff;
        discard.sector_number = sector;
        discard.nr_sectors = count;
        frontend->post(discard);
        EXPECT_EQ(frontend->status(), BLKIF_RSP_ERROR) << sector << "+" << count;
    }
    EXPECT_EQ(target->submitted, 0u);
}

TEST_F(HostileTest, IndirectRequests) {
    begin();
    const auto list = guest.allocate();
    auto* entries = reinterpret_cast<abi::blkif_request_segment*>(guest.page(list));
    for (unsigned index = 0; index < 512; ++index) {
        entries[index] = {ref, 0, 7};
    }
    const auto list_ref = guest.grant(list);
    abi::blkif_request_indirect64 good{};
    good.operation = BLKIF_OP_INDIRECT;
    good.indirect_op = BLKIF_OP_READ;
    good.nr_segments = 20;
    good.indirect_grefs[0] = list_ref;
    const auto status = [&](const abi::blkif_request_indirect64& request) {
        frontend->post(request);
        return frontend->status();
    };
    EXPECT_EQ(status(good), BLKIF_RSP_OKAY);
    auto bad = good;
    for (const unsigned count : {0u, 257u, 512u, 513u, 65535u}) {
        bad.nr_segments = static_cast<std::uint16_t>(count);
        EXPECT_EQ(status(bad), BLKIF_RSP_ERROR) << count;
    }
    bad = good;
    bad.indirect_grefs[0] = 0x7fffffff;
    EXPECT_EQ(status(bad), BLKIF_RSP_ERROR);
    bad = good;
    for (const unsigned operation : {2u, 3u, 5u, 6u, 99u}) { // nothing but reading and writing
        bad.indirect_op = static_cast<std::uint8_t>(operation);
        EXPECT_NE(status(bad), BLKIF_RSP_OKAY) << operation;
    }
    bad = good;
    entries[19] = {ref, 3, 200};
    EXPECT_EQ(status(bad), BLKIF_RSP_ERROR);
    entries[19] = {0x7ffffff, 0, 7};
    EXPECT_EQ(status(bad), BLKIF_RSP_ERROR);
    entries[19] = {ref, 0, 7};
    bad.sector_number = disk_bytes / 512 - 100;
    EXPECT_EQ(status(bad), BLKIF_RSP_ERROR);
    EXPECT_EQ(status(good), BLKIF_RSP_OKAY);
    EXPECT_EQ(guest.leases(), 1u);
    EXPECT_EQ(target->submitted, 2u);
}

TEST_F(HostileTest, SegmentsChangedAfterPosting) {
    begin();
    target->held = true;
    auto request = read_of(ref, 0, 0);
    frontend->post(request);
    ASSERT_TRUE(submitted(1));
    // Its slot now says: another sector, more sectors, another frame.
    auto changed = read_of(guest.grant(guest.allocate()), 0, 7);
    changed.sector_number = 1000;
    changed.id = 4711;
    frontend->put_at(0, &changed, sizeof changed);
    frontend->word(4).store(0);
    guest.on_io([&] {
        ASSERT_EQ(target->waiting.size(), 1u);
        EXPECT_EQ(target->waiting[0]->offset, 0u);
        EXPECT_EQ(target->waiting[0]->length, 512u);
        target->finish(0);
    });
    const auto response = frontend->response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->id, 1u);
}

TEST_F(HostileTest, AFrameThatBecomesATableWhileItIsRead) {
    begin();
    target->held = true;
    frontend->post(read_of(ref));
    ASSERT_TRUE(submitted(1));
    EXPECT_TRUE(guest.marked(ref)) << "the guest sees that it may not have it back";
    guest.on_io([&] { target->finish(0); });
    EXPECT_EQ(frontend->status(), BLKIF_RSP_OKAY);
    EXPECT_FALSE(guest.marked(ref));
}

class BrokenIndex : public HostileTest, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(BrokenIndex, StopsTheDevice) {
    begin();
    EXPECT_EQ(run(read_of(ref)), BLKIF_RSP_OKAY);
    const unsigned before = target->submitted;
    frontend->word(0).store(1 + GetParam());
    guest.kick(frontend->port);
    ASSERT_TRUE(guest.run_until([&] { return !failed.empty(); }));
    EXPECT_NE(failed.find("ring index"), std::string::npos) << failed;
    EXPECT_EQ(target->submitted, before);
    // It stays stopped, whatever the guest does, until it connects anew.
    frontend->word(0).store(2);
    guest.kick(frontend->port);
    EXPECT_FALSE(frontend->response(30ms));
    EXPECT_TRUE(disconnect());
    EXPECT_EQ(guest.leases(), 0u);
    auto second = std::make_unique<F>(guest, 0, 6);
    name_ring(*second);
    connected();
    second->post(read_of(ref));
    EXPECT_EQ(second->status(), BLKIF_RSP_OKAY);
}

// Ahead of the ring's 32 slots; back in the past; half around.
INSTANTIATE_TEST_SUITE_P(Indices, BrokenIndex,
                         testing::Values(33u, 34u, 1000u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu));

TEST_F(HostileTest, AStoppedDeviceLetsRequestsUnderWayEnd) {
    begin();
    target->held = true;
    frontend->post(read_of(ref));
    ASSERT_TRUE(submitted(1));
    frontend->word(0).store(5000);
    guest.kick(frontend->port);
    ASSERT_TRUE(guest.run_until([&] { return !failed.empty(); }));
    bool done = false;
    backend->disconnect([&] { done = true; });
    EXPECT_FALSE(guest.run_until([&] { return done; }, 30ms));
    guest.on_io([&] { target->finish(0); });
    EXPECT_TRUE(guest.run_until([&] { return done; }));
    EXPECT_FALSE(frontend->response(10ms)) << "no answer into a broken ring";
    EXPECT_EQ(guest.leases(), 0u);
}

TEST_F(HostileTest, OtherDevicesGoOn) {
    begin();
    auto other_spec = *disk::parse_disk_spec("vdev=xvdb,target=other.img");
    auto made = std::make_unique<FakeTarget>(*guest.io, disk_bytes);
    disk::BlockBackend other{guest.context(), other_spec, std::move(made), "other.img"};
    const std::string path = "/local/domain/1/device/vbd/51728";
    F second{guest, 0, 9};
    ASSERT_TRUE(guest.store.write(path + "/ring-ref", std::to_string(second.refs[0])).ok());
    ASSERT_TRUE(guest.store.write(path + "/event-channel", "9").ok());
    ASSERT_TRUE(other.connect(xenbus::FrontendNodes{guest.store, path}).ok());
    frontend->word(0).store(0x12345678);
    guest.kick(frontend->port);
    ASSERT_TRUE(guest.run_until([&] { return !failed.empty(); }));
    second.post(read_of(ref));
    EXPECT_EQ(second.status(), BLKIF_RSP_OKAY);
    bool done = false;
    other.disconnect([&] { done = true; });
    EXPECT_TRUE(guest.run_until([&] { return done; }));
}

TEST_F(HostileTest, AnIndexThatJumpsToAndFro) {
    begin();
    std::atomic<bool> over = false;
    std::atomic<unsigned> kicks = 0;
    std::thread racer{[&] {
        for (std::uint32_t turn = 0; !over; ++turn) {
            frontend->word(0).store(turn % 2);
            frontend->word(4).store(turn);
            frontend->word(12).store(turn * 7);
            if (turn % 64 == 0) {
                guest.kick(frontend->port);
                ++kicks;
            }
        }
    }};
    for (unsigned turn = 0; turn < 20; ++turn) {
        const unsigned before = kicks;
        EXPECT_TRUE(guest.run_until([&] { return kicks > before + 10; }));
        guest.on_io([] {}); // the I/O thread has time for others
    }
    over = true;
    racer.join();
    EXPECT_TRUE(disconnect());
    EXPECT_EQ(guest.leases(), 0u);
}

TEST_F(HostileTest, TheLogIsNotFilled) {
    begin();
    for (unsigned turn = 0; turn < 100; ++turn) {
        EXPECT_EQ(run(read_of(ref, 9, 9)), BLKIF_RSP_ERROR);
    }
    guest.run_until([] { return false; }, 20ms);
    EXPECT_EQ(guest.log.size(), 8u);
    EXPECT_EQ(count("refused"), 100u);
}

TEST_F(HostileTest, AnEventChannelOfAnotherDevice) {
    make("queues=2");
    F first{guest, 0, 5};
    F second{guest, 0, 6};
    node("ring-ref", std::to_string(first.refs[0]));
    node("event-channel", "5");
    guest.on_io([&] { guest.io->bind_port(5, [] {}); });
    const auto refused = connect();
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("event channel 5 is in use"), std::string::npos) << refused.error().message;
    guest.on_io([&] {
        EXPECT_FALSE(guest.io->port_is_free(5)) << "the other device has lost it";
        guest.io->unbind_port(5);
    });
    node("multi-queue-num-queues", "2"); // and twice the same of its own
    for (const auto* queue : {"queue-0/", "queue-1/"}) {
        node(std::string{queue} + "ring-ref", std::to_string((queue[6] == '0' ? first : second).refs[0]));
        node(std::string{queue} + "event-channel", "5");
    }
    ASSERT_FALSE(connect().ok());
    EXPECT_EQ(guest.leases(), 0u);
    node("queue-1/event-channel", "6");
    connected();
}

TEST_F(HostileTest, NodesThatAreWrong) {
    make("queues=2");
    F ring{guest, 0, 5};
    const auto refused_with = [&](const char* part) {
        const auto result = connect();
        ASSERT_FALSE(result.ok()) << part;
        EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
        EXPECT_EQ(result.error().message.find("xvda: "), 0u);
        EXPECT_EQ(guest.leases(), 0u);
    };
    refused_with("ring-ref");
    node("ring-ref", "abc");
    refused_with("ring-ref");
    node("ring-ref", std::to_string(ring.refs[0]));
    refused_with("event-channel");
    for (const char* port : {"0", "131072", "-1", "4294967296", "5 ", ""}) {
        node("event-channel", port);
        refused_with("event-channel");
    }
    node("event-channel", "5");
    for (const char* protocol : {"arm-abi", "", "x86_64-abi "}) {
        node("protocol", protocol);
        refused_with("protocol");
    }
    node("protocol", "x86_64-abi");
    for (const char* queues : {"0", "3", "999999999999", "x"}) {
        node("multi-queue-num-queues", queues);
        refused_with("multi-queue-num-queues");
    }
    node("multi-queue-num-queues", "2");
    refused_with("queue-0/ring-ref");
    node("multi-queue-num-queues", "1");
    for (const char* order : {"5", "31", "32", "4294967295", "-1", "y"}) {
        node("ring-page-order", order);
        refused_with("ring-page-order");
    }
    node("ring-page-order", "1");
    refused_with("ring-ref");
    node("ring-ref0", std::to_string(ring.refs[0]));
    node("ring-ref1", "4000000000");
    refused_with("beyond the table"); // and the first page was given back
    const auto table = guest.allocate();
    guest.set_frame(table, doorbell::FrameOwner::domain, doorbell::FrameType::l4);
    node("ring-ref1", std::to_string(guest.grant(table)));
    refused_with("page table");
    node("ring-ref1", std::to_string(ring.refs[0])); // twice the same page: only its own harm
    connected();
}

} // namespace
} // namespace parapet::disk_test
