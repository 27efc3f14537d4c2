// SPDX-License-Identifier: Apache-2.0
// The disk against nbdkit: what it says of itself, and that data comes back as it was written.
#include "tests/unit/nbd/rig.hpp"

#include <cerrno>
#include <fstream>
#include <random>

namespace {

using namespace nbd_test;

class Nbdkit : public NbdTest {
protected:
    [[nodiscard]] std::string text_of(const std::string& name) const {
        std::ifstream file{path(name)};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    /// Keeps nothing, but notes what it is told.
    [[nodiscard]] std::vector<std::string> noting_server(const std::string& fua) const {
        return {"eval",
                "get_size=echo 1M",
                "can_write=exit 0",
                "can_flush=exit 0",
                "can_fua=echo " + fua,
                "pread=head -c $3 /dev/zero",
                "pwrite=cat >/dev/null; echo \"write $5\" >>" + path("notes"),
                "flush=echo flush >>" + path("notes")};
    }
};

TEST_F(Nbdkit, SaysWhatTheServerSays) {
    const Program server = nbdkit({"memory", "64M"});
    const auto opened = disk(remote());
    const disk::Geometry& geometry = opened->target().geometry();
    EXPECT_EQ(geometry.bytes, 64U << 20);
    EXPECT_EQ(geometry.logical_block, 512U);
    EXPECT_FALSE(geometry.read_only);
    EXPECT_TRUE(geometry.flush);
    EXPECT_TRUE(geometry.discard);
    EXPECT_TRUE(geometry.write_zeroes);
}

TEST_F(Nbdkit, ManyMixedRequestsKeepTheData) {
    const Program server = nbdkit({"--filter=delay", "memory", "16M", "rdelay=1ms", "wdelay=1ms"});
    const auto opened = disk(remote());
    Bytes model(16 << 20);
    std::mt19937 random{1};
    for (int round = 0; round < 12; round++) {
        // A round's requests do not overlap, so all of them may be under way at once.
        std::vector<std::unique_ptr<Request>> writes;
        for (std::uint64_t at = 0; at + (1 << 20) <= model.size(); at += 1 << 20) {
            const std::uint64_t offset = at + random() % 1024 * 512;
            const std::size_t length = (1 + random() % 1024) * 512;
            if (random() % 5 == 0) {
                writes.push_back(std::make_unique<Request>(Operation::write_zeroes, offset, Bytes{}, length));
                std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(offset), length, std::byte{});
            } else {
                Bytes data = pattern(length, random());
                std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
                writes.push_back(
                    std::make_unique<Request>(Operation::write, offset, std::move(data), 0, random() % 4 == 0));
            }
            opened->submit(*writes.back());
        }
        for (const auto& request : writes) {
            ASSERT_EQ(request->result.get(), 0);
        }
    }
    EXPECT_EQ(opened->flush(), 0);
    EXPECT_EQ(opened->read(0, model.size()), model); // 128 parts and more
    Request trim{Operation::discard, 1 << 20, {}, 4 << 20};
    EXPECT_EQ(opened->run(trim), 0);
}

TEST_F(Nbdkit, RequestsThatADiskOfThisSizeCannotHaveAreRefused) {
    const Program server = nbdkit({"memory", "1M"});
    const auto opened = disk(remote());
    EXPECT_EQ(opened->write(1 << 20, pattern(512, 1)), -EINVAL);
    EXPECT_EQ(opened->write((1 << 20) - 512, pattern(1024, 1)), -EINVAL);
    EXPECT_EQ(opened->write(UINT64_MAX - 511, pattern(512, 1)), -EINVAL);
    EXPECT_EQ(opened->write(100, pattern(512, 1)), -EINVAL);
    Request empty{Operation::discard, 0, {}, 0};
    EXPECT_EQ(opened->run(empty), -EINVAL);
    EXPECT_EQ(opened->write(0, pattern(512, 1)), 0);
}

TEST_F(Nbdkit, ServersErrorsArriveAsTheyAre) {
    const Program server =
        nbdkit({"--filter=error", "memory", "1M", "error=ENOSPC", "error-pwrite-rate=100%", "error-pread-rate=0"});
    const auto opened = disk(remote());
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), -ENOSPC);
    EXPECT_EQ(opened->read(0, 4096), Bytes(4096));
    EXPECT_EQ(opened->flush(), 0);
}

TEST_F(Nbdkit, ReadOnlyExport) {
    const Program server = nbdkit({"-r", "memory", "1M"});
    const auto refused = open(remote());
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("read-only"), std::string::npos) << refused.error().message;

    auto options = remote();
    options.read_only = true;
    const auto opened = disk(options);
    EXPECT_TRUE(opened->target().geometry().read_only);
    EXPECT_FALSE(opened->target().geometry().discard);
    EXPECT_EQ(opened->write(0, pattern(512, 1)), -EROFS);
    EXPECT_EQ(opened->read(0, 512), Bytes(512));
}

TEST_F(Nbdkit, BlocksOf4096) {
    const Program server = nbdkit({"--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
                                   "blocksize-preferred=64K", "blocksize-maximum=64K", "blocksize-error-policy=error"});
    const auto opened = disk(remote());
    EXPECT_EQ(opened->target().geometry().logical_block, 4096U);
    EXPECT_EQ(opened->write(512, pattern(4096, 1)), -EINVAL);
    const Bytes data = pattern(256 << 10, 2); // more than the server takes at once
    EXPECT_EQ(opened->write(4096, data), 0);
    EXPECT_EQ(opened->read(4096, data.size()), data);
}

TEST_F(Nbdkit, BlocksTooLargeForAGuestAreRefused) {
    const Program server = nbdkit({"--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=64K",
                                   "blocksize-preferred=64K", "blocksize-maximum=1M"});
    const auto refused = open(remote());
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("65536"), std::string::npos) << refused.error().message;
}

TEST_F(Nbdkit, FuaIsAFlushWhereTheServerHasNone) {
    const Program server = nbdkit(noting_server("none"));
    const auto opened = disk(remote());
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), 0);
    EXPECT_EQ(text_of("notes"), "write \n");
    EXPECT_EQ(opened->write(0, pattern(4096, 1), true), 0);
    EXPECT_EQ(text_of("notes"), "write \nwrite \nflush\n");
}

TEST_F(Nbdkit, FuaIsPassedOn) {
    const Program server = nbdkit(noting_server("native"));
    const auto opened = disk(remote());
    EXPECT_EQ(opened->write(0, pattern(4096, 1)), 0);
    EXPECT_EQ(opened->write(0, pattern(4096, 1), true), 0);
    EXPECT_EQ(text_of("notes"), "write \nwrite fua\n");
    EXPECT_EQ(opened->flush(), 0);
    EXPECT_EQ(text_of("notes"), "write \nwrite fua\nflush\n");
}

TEST_F(Nbdkit, OverTcpByName) {
    const std::string port = std::to_string(free_port());
    const Program server = nbdkit_on({"-i", "127.0.0.1", "-p", port}, {"memory", "1M"});
    auto options = remote();
    options.uri = "nbd://localhost:" + port;
    const auto opened = disk(options);
    EXPECT_EQ(opened->write(0, pattern(64 << 10, 3)), 0);
    EXPECT_EQ(opened->read(0, 64 << 10), pattern(64 << 10, 3));
}

TEST_F(Nbdkit, Encrypted) {
    std::ofstream{path("keys")} << "alice:0123456789abcdef0123456789abcdef\n";
    std::ofstream{path("wrong")} << "alice:00000000000000000000000000000000\n";
    const Program server = nbdkit({"--tls=require", "--tls-psk=" + path("keys"), "memory", "1M"});
    auto options = remote();
    const auto plain = open(options);
    EXPECT_FALSE(plain.ok());
    const std::string encrypted = "nbds+unix://alice@/?socket=" + path("socket") + "&tls-psk-file=";
    options.uri = encrypted + path("wrong");
    EXPECT_FALSE(open(options).ok());
    options.uri = encrypted + path("keys");
    const auto opened = disk(options);
    EXPECT_EQ(opened->write(0, pattern(64 << 10, 3)), 0);
    EXPECT_EQ(opened->read(0, 64 << 10), pattern(64 << 10, 3));
}

TEST_F(Nbdkit, NobodyThere) {
    const auto refused = open(remote());
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find(uri()), std::string::npos) << refused.error().message;
    const auto nonsense = open({"nbd:///", "", "", false, 1s});
    EXPECT_FALSE(nonsense.ok());
}

TEST_F(Nbdkit, MovesToAnotherProcess) {
    const Program server = nbdkit({"memory", "1M"});
    auto opened = open(remote());
    ASSERT_TRUE(opened.ok());
    devices::Handover handover = std::move(**opened).to_handover();
    (*opened).reset();
    auto taken = nbd::nbd_from_handover(std::move(handover), {});
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    EXPECT_EQ((*taken)->describe(), uri() + " (NBD)");
    Disk disk{*std::move(taken)};
    EXPECT_EQ(disk.write(0, pattern(4096, 3)), 0);
    EXPECT_EQ(disk.read(0, 4096), pattern(4096, 3));
}

TEST_F(Nbdkit, HandoverThatIsWrong) {
    const Program server = nbdkit({"memory", "1M"});
    const auto spoiled = [&](const std::function<void(devices::Handover&)>& spoil) {
        auto opened = open(remote());
        EXPECT_TRUE(opened.ok());
        devices::Handover handover = std::move(**opened).to_handover();
        spoil(handover);
        return nbd::nbd_from_handover(std::move(handover), {});
    };
    EXPECT_TRUE(spoiled([](auto&) {}).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { handover.descriptors.pop_back(); }).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { handover.description["bytes"] = "much"; }).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { handover.description["bytes"] = -1; }).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { handover.description["least-block"] = 3; }).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { handover.description["most-data"] = 1 << 30; }).ok());
    EXPECT_FALSE(spoiled([](auto& handover) { std::swap(handover.descriptors[0], handover.descriptors[1]); }).ok());
}

} // namespace
