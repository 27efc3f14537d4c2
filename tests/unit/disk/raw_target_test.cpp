// SPDX-License-Identifier: Apache-2.0
// Raw images on this machine's file systems, through the real io_uring.
#include "backends/disk/raw_source.hpp"
#include "backends/disk/raw_target.hpp"
#include "tests/unit/disk/fake_guest.hpp"
#include "tests/unit/disk/temporary_image.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <optional>
#include <random>
#include <span>
#include <sys/stat.h>

namespace parapet::disk_test {
namespace {

struct Waiter final : disk::TargetRequest {
    void complete(int result) override { promise.set_value(result); }
    std::promise<int> promise;
};

/// Gives it to the target and waits for its end: 0, or -errno.
int run(FakeGuest& guest, disk::DiskTarget& target, disk::Operation operation, std::uint64_t offset,
        std::uint64_t length, std::span<const iovec> parts = {}, bool fua = false) {
    Waiter waiter;
    waiter.operation = operation;
    waiter.offset = offset;
    waiter.length = length;
    waiter.segments = parts;
    waiter.fua = fua;
    guest.on_io([&] { target.submit(waiter); });
    return waiter.promise.get_future().get();
}

/// All in one round; waits for their ends.
std::vector<int> run_all(FakeGuest& guest, disk::DiskTarget& target, std::vector<Waiter>& waiters) {
    guest.on_io([&] {
        for (Waiter& waiter : waiters) {
            target.submit(waiter);
        }
    });
    std::vector<int> results;
    for (Waiter& waiter : waiters) {
        results.push_back(waiter.promise.get_future().get());
    }
    return results;
}

class RawTargetTest : public testing::TestWithParam<disk::Cache> {
protected:
    void open(const std::string& options = "") {
        auto spec = disk::parse_disk_spec(
            "format=raw,cache=" + std::string{GetParam() == disk::Cache::direct ? "direct" : "buffered"} + options +
            ",target=" + image.path);
        ASSERT_TRUE(spec.ok()) << spec.error().message;
        auto opened = disk::raw_kind().open(*spec);
        ASSERT_TRUE(opened.ok()) << opened.error().message;
        source = *std::move(opened);
        target = source->make_target(*guest.io);
    }
    int run(disk::Operation operation, std::uint64_t offset, std::vector<iovec> parts, bool fua = false) {
        std::uint64_t length = 0;
        for (const iovec& part : parts) {
            length += part.iov_len;
        }
        return disk_test::run(guest, *target, operation, offset, length, parts, fua);
    }
    int range(disk::Operation operation, std::uint64_t offset, std::uint64_t length) {
        return disk_test::run(guest, *target, operation, offset, length);
    }
    /// The size is looked at once in a while: does a write there succeed before long?
    bool whole_again(std::uint64_t offset, const std::vector<iovec>& parts) {
        const auto until = std::chrono::steady_clock::now() + 30s;
        while (run(disk::Operation::write, offset, parts) != 0) {
            if (std::chrono::steady_clock::now() > until) {
                return false;
            }
            std::this_thread::sleep_for(5ms);
        }
        return true;
    }
    void TearDown() override {
        guest.on_io([] {});
        target.reset();
    }

    TemporaryImage image{1 << 20};
    FakeGuest guest;
    std::unique_ptr<disk::TargetSource> source;
    std::unique_ptr<disk::DiskTarget> target;
};

TEST_P(RawTargetTest, MovesDataOfAnyShape) {
    open();
    std::mt19937 engine{1};
    const auto random = [&engine] { return static_cast<unsigned>(engine()); };
    std::vector<char> model = image.contents();
    const auto frames = guest.allocate(256);
    auto* memory = reinterpret_cast<char*>(guest.page(frames));
    for (unsigned turn = 0; turn < 300; ++turn) {
        std::vector<iovec> parts;
        const unsigned count = 1 + random() % 12;
        std::uint64_t length = 0;
        for (unsigned part = 0; part < count; ++part) {
            const std::size_t sectors = 1 + random() % 8, first = random() % (9 - sectors);
            parts.push_back({memory + (part * 16 + random() % 16) * 4096 + first * 512, sectors * 512});
            length += sectors * 512;
        }
        const std::uint64_t offset = random() % ((model.size() - length) / 512 + 1) * 512;
        if (random() % 2 == 0) {
            for (const iovec& part : parts) {
                std::generate_n(static_cast<char*>(part.iov_base), part.iov_len,
                                [&] { return static_cast<char>(random()); });
            }
            ASSERT_EQ(run(disk::Operation::write, offset, parts, random() % 3 == 0), 0);
            std::uint64_t at = offset;
            for (const iovec& part : parts) {
                std::memcpy(model.data() + at, part.iov_base, part.iov_len);
                at += part.iov_len;
            }
        } else {
            ASSERT_EQ(run(disk::Operation::read, offset, parts), 0);
            std::uint64_t at = offset;
            for (const iovec& part : parts) {
                ASSERT_EQ(std::memcmp(model.data() + at, part.iov_base, part.iov_len), 0) << turn;
                at += part.iov_len;
            }
        }
    }
    ASSERT_EQ(range(disk::Operation::flush, 0, 0), 0);
    EXPECT_TRUE(image.contents() == model);
    EXPECT_GT(guest.io->statistics().fixed, 0u) << "registered memory was used";
}

TEST_P(RawTargetTest, PunchesHoles) {
    open();
    if (!target->geometry().discard) {
        GTEST_SKIP() << "no holes on this file system";
    }
    const auto before = image.allocated();
    ASSERT_EQ(range(disk::Operation::discard, 64 << 10, 512 << 10), 0);
    EXPECT_LE(image.allocated(), before - (500 << 10));
    ASSERT_EQ(range(disk::Operation::write_zeroes, 600 << 10, 5 * 512), 0);
    const auto now = image.contents();
    EXPECT_EQ(now.size(), std::size_t{1 << 20});
    for (const std::size_t at : {64u << 10, (576u << 10) - 1, 600u << 10, (600u << 10) + 5 * 512 - 1}) {
        EXPECT_EQ(now[at], 0) << at;
    }
    EXPECT_EQ(now[(64 << 10) - 1], TemporaryImage::byte_at((64 << 10) - 1));
    EXPECT_EQ(now[(600 << 10) + 5 * 512], TemporaryImage::byte_at((600 << 10) + 5 * 512));
}

TEST_P(RawTargetTest, ATruncatedFileGivesErrorsAndIsNotWrittenBack) {
    open();
    ASSERT_EQ(::truncate(image.path.c_str(), 512 << 10), 0);
    std::this_thread::sleep_for(1100ms); // it looks once a second
    const auto frame = guest.allocate();
    const std::vector<iovec> parts{{guest.page(frame), 4096}};
    EXPECT_EQ(run(disk::Operation::write, 768 << 10, parts), disk::beyond_end);
    EXPECT_EQ(run(disk::Operation::read, 768 << 10, parts), disk::beyond_end);
    EXPECT_EQ(run(disk::Operation::read, (512 << 10) - 2048, parts), disk::beyond_end);
    EXPECT_EQ(run(disk::Operation::read, 0, parts), 0);
    EXPECT_EQ(image.contents().size(), std::size_t{512 << 10});
    ASSERT_EQ(::truncate(image.path.c_str(), 1 << 20), 0);
    EXPECT_TRUE(whole_again(768 << 10, parts));
}

/// Within the second in which nobody looks at the size: no write may bring the end back.
TEST_P(RawTargetTest, AWriteAtOnceAfterTheTruncationIsRefused) {
    open();
    const auto frames = guest.allocate(4);
    const std::vector<iovec> whole{{guest.page(frames), 16384}};
    const std::vector<iovec> sectors{{guest.page(frames) + 512, 1024}, {guest.page(frames) + 8192, 512}};
    const std::uint64_t full = 1 << 20;
    for (const bool fua : {false, true}) {
        for (const auto& parts : {whole, sectors}) {
            // Beyond the new end, over it, and up to the old one.
            for (const std::uint64_t offset :
                 {std::uint64_t{768 << 10}, std::uint64_t{(512 << 10) - 512}, full - 16384}) {
                ASSERT_EQ(run(disk::Operation::write, offset, parts, fua), 0);
                std::this_thread::sleep_for(2ms);
                ASSERT_EQ(::truncate(image.path.c_str(), 512 << 10), 0);
                EXPECT_EQ(run(disk::Operation::write, offset, parts, fua), disk::beyond_end) << offset;
                EXPECT_EQ(std::filesystem::file_size(image.path), std::uint64_t{512 << 10}) << offset;
                EXPECT_EQ(run(disk::Operation::write, 4096, parts, fua), 0);
                ASSERT_EQ(::truncate(image.path.c_str(), static_cast<off_t>(full)), 0);
                ASSERT_TRUE(whole_again(offset, parts));
            }
        }
    }
}

TEST_P(RawTargetTest, TheReadAtTheEndOfATruncatedFileFailsAtOnce) {
    open();
    const auto frame = guest.allocate();
    const std::vector<iovec> parts{{guest.page(frame), 4096}};
    EXPECT_EQ(run(disk::Operation::read, 768 << 10, parts), 0);
    ASSERT_EQ(::truncate(image.path.c_str(), 512 << 10), 0);
    EXPECT_EQ(run(disk::Operation::read, 768 << 10, parts), disk::beyond_end);
    EXPECT_EQ(run(disk::Operation::write, 768 << 10, parts), disk::beyond_end);
}

TEST_P(RawTargetTest, NoticesGrowth) {
    open();
    std::atomic<bool> changed = false;
    guest.on_io([&] { target->watch([&] { changed = true; }); });
    ASSERT_EQ(::truncate(image.path.c_str(), 3 << 20), 0);
    const auto frame = guest.allocate();
    const std::vector<iovec> parts{{guest.page(frame), 4096}};
    EXPECT_TRUE(guest.run_until([&] { // it looks when there are requests, once in a while
        EXPECT_EQ(run(disk::Operation::read, 0, parts), 0);
        return changed.load();
    }));
    EXPECT_EQ(target->geometry().bytes, std::uint64_t{3 << 20});
    EXPECT_EQ(run(disk::Operation::read, (3 << 20) - 4096, parts), 0);
}

TEST_P(RawTargetTest, ManyAtOnceEndInAnyOrder) {
    open();
    const auto frames = guest.allocate(64);
    std::vector<Waiter> waiters(64);
    std::vector<iovec> parts(64);
    for (unsigned index = 0; index < 64; ++index) {
        parts[index] = {guest.page(frames + index), 4096};
        waiters[index].operation = disk::Operation::read;
        waiters[index].offset = index * 8192;
        waiters[index].length = 4096;
        waiters[index].segments = {&parts[index], 1};
    }
    EXPECT_EQ(run_all(guest, *target, waiters), std::vector<int>(64, 0));
    for (unsigned index = 0; index < 64; ++index) {
        EXPECT_EQ(static_cast<char>(guest.page(frames + index)[77]), TemporaryImage::byte_at(index * 8192 + 77));
    }
}

TEST_P(RawTargetTest, MovesToAnotherOwnerWithItsLock) {
    open();
    target.reset();
    auto handover = std::move(*source).to_handover();
    source.reset();
    auto spec = disk::parse_disk_spec("format=raw,target=" + image.path);
    EXPECT_FALSE(disk::raw_kind().open(*spec).ok()) << "still locked, by what is on its way";
    auto taken = disk::raw_kind().from_handover(std::move(handover));
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    source = *std::move(taken);
    target = source->make_target(*guest.io);
    const auto frame = guest.allocate();
    EXPECT_EQ(run(disk::Operation::read, 4096, {{guest.page(frame), 4096}}), 0);
    EXPECT_EQ(static_cast<char>(guest.page(frame)[3]), TemporaryImage::byte_at(4099));
    EXPECT_FALSE(disk::raw_kind().open(*spec).ok());
    target.reset();
    source.reset();
    EXPECT_TRUE(disk::raw_kind().open(*spec).ok());
}

/// Reads or writes of neighbouring ranges, given to the target in one round.
class Neighbours {
public:
    Neighbours(FakeGuest& guest, unsigned count, std::uint64_t first, disk::Operation operation)
        : guest_{guest}, frames_{guest.allocate(2 * count)}, waiters_(count), parts_(2 * count) {
        for (unsigned index = 0; index < count; ++index) {
            // Two pieces each, the later page first: nothing of it is one piece of memory.
            parts_[2 * index] = {guest.page(frames_ + 2 * index + 1), piece};
            parts_[2 * index + 1] = {guest.page(frames_ + 2 * index), piece};
            waiters_[index].operation = operation;
            waiters_[index].offset = first + index * 2 * piece;
            waiters_[index].length = 2 * piece;
            waiters_[index].segments = std::span{parts_}.subspan(2 * index, 2);
        }
    }
    Waiter& operator[](unsigned index) { return waiters_[index]; }
    /// How many operations it took.
    std::uint64_t submit(disk::DiskTarget& target) {
        const std::uint64_t before = guest_.io->statistics().submitted;
        results = run_all(guest_, target, waiters_);
        return guest_.io->statistics().submitted - before;
    }
    /// The bytes of a request in their order on the disk.
    [[nodiscard]] std::span<char> bytes(unsigned index, unsigned part) const {
        return {static_cast<char*>(parts_[2 * index + part].iov_base), piece};
    }

    static constexpr std::size_t piece = 2048;
    std::vector<int> results;

private:
    FakeGuest& guest_;
    std::uint64_t frames_;
    std::vector<Waiter> waiters_;
    std::vector<iovec> parts_;
};

TEST_P(RawTargetTest, NeighboursShareAnOperationButNotTheirErrors) {
    open();
    constexpr unsigned count = 8;
    const std::uint64_t first = (512 << 10) - 6 * 4096;
    std::vector<char> model = image.contents();
    (void)Neighbours{guest, count, first, disk::Operation::write}.submit(*target); // out of the page cache
    target = source->make_target(*guest.io);
    Neighbours writes{guest, count, first, disk::Operation::write};
    for (unsigned index = 0; index < count; ++index) {
        for (unsigned part = 0; part < 2; ++part) {
            std::ranges::fill(writes.bytes(index, part), static_cast<char>('a' + 2 * index + part));
            std::ranges::copy(writes.bytes(index, part), model.begin() + static_cast<std::ptrdiff_t>(first) +
                                                             (2 * index + part) * std::ptrdiff_t{Neighbours::piece});
        }
    }
    EXPECT_EQ(writes.submit(*target), 2u) << "half of them at a time";
    EXPECT_EQ(writes.results, std::vector<int>(count, 0));
    EXPECT_TRUE(image.contents() == model);

    Neighbours reads{guest, count, first, disk::Operation::read};
    EXPECT_EQ(reads.submit(*target), 2u);
    for (unsigned index = 0; index < count; ++index) {
        for (unsigned part = 0; part < 2; ++part) {
            EXPECT_TRUE(std::ranges::equal(reads.bytes(index, part), writes.bytes(index, part))) << index;
        }
    }

    // The end lies in the midst of the second half now.
    ASSERT_EQ(::truncate(image.path.c_str(), 512 << 10), 0);
    std::vector<int> expected(count, 0);
    expected[6] = expected[7] = disk::beyond_end;
    for (const auto operation : {disk::Operation::read, disk::Operation::write}) {
        Neighbours over{guest, count, first, operation};
        EXPECT_GT(over.submit(*target), 2u);
        EXPECT_EQ(over.results, expected);
        EXPECT_EQ(std::filesystem::file_size(image.path), std::uint64_t{512 << 10});
    }
}

/// ext4 refuses a write with RWF_NOWAIT that two extents share, or whose pages are cached.
TEST_P(RawTargetTest, WritesThatWereRefusedTogetherAreNotJoinedForAWhile) {
    open();
    constexpr unsigned count = 8;
    const auto write = [&] { return Neighbours{guest, count, 65536, disk::Operation::write}.submit(*target); };
    const bool refused = write() > 2; // an image just made lies in the page cache
    EXPECT_EQ(write(), refused ? count : 2u);
    for (unsigned done = count; done < 256; done += count) {
        (void)write();
    }
    EXPECT_EQ(write(), 2u);
}

TEST_P(RawTargetTest, NeighboursShareOneOfRegisteredMemoryWhereTheirPiecesDo) {
    open();
    std::byte* memory = guest.page(guest.allocate(4));
    std::vector<Waiter> waiters(4);
    std::vector<iovec> parts(4);
    const std::uint64_t before = guest.io->statistics().fixed;
    for (unsigned index = 0; index < 4; ++index) {
        parts[index] = {memory + index * 4096, 4096};
        waiters[index].operation = disk::Operation::read;
        waiters[index].offset = 8192 + index * 4096;
        waiters[index].length = 4096;
        waiters[index].segments = {&parts[index], 1};
    }
    EXPECT_EQ(run_all(guest, *target, waiters), std::vector<int>(4, 0));
    for (unsigned index = 0; index < 4; ++index) {
        EXPECT_EQ(static_cast<char>(memory[index * 4096 + 5]), TemporaryImage::byte_at(8192 + index * 4096 + 5));
    }
    EXPECT_EQ(guest.io->statistics().fixed, before + 2);
}

TEST_P(RawTargetTest, NeighboursOfAnyShapeMoveTheirOwnData) {
    open();
    std::mt19937 engine{5};
    const auto random = [&engine](unsigned below) { return static_cast<unsigned>(engine() % below); };
    std::vector<char> model = image.contents();
    constexpr unsigned most = 24;
    auto* memory = reinterpret_cast<char*>(guest.page(guest.allocate(most * 4)));
    for (unsigned turn = 0; turn < 200; ++turn) {
        const bool write = random(2) == 0;
        std::vector<Waiter> waiters(1 + random(most));
        std::vector<std::vector<iovec>> parts(waiters.size());
        const std::uint64_t first = random(1024) * 512;
        std::uint64_t at = first;
        for (std::size_t index = 0; index < waiters.size(); ++index) {
            waiters[index].operation = write ? disk::Operation::write : disk::Operation::read;
            waiters[index].fua = write && random(8) == 0;
            waiters[index].offset = at;
            for (unsigned part = 0; part < 1 + random(4); ++part) {
                const std::size_t page = index * 4 + (3 - part), sectors = 1 + random(8);
                parts[index].push_back(
                    {memory + page * 4096 + random(static_cast<unsigned>(9 - sectors)) * 512, sectors * 512});
                if (write) {
                    std::generate_n(static_cast<char*>(parts[index].back().iov_base), sectors * 512,
                                    [&] { return static_cast<char>(random(256)); });
                    std::memcpy(model.data() + at, parts[index].back().iov_base, sectors * 512);
                }
                waiters[index].length += sectors * 512;
                at += sectors * 512;
            }
            waiters[index].segments = parts[index];
        }
        ASSERT_EQ(run_all(guest, *target, waiters), std::vector<int>(waiters.size(), 0)) << turn;
        at = first;
        for (const auto& some : parts) {
            for (const iovec& part : some) {
                ASSERT_EQ(std::memcmp(model.data() + at, part.iov_base, part.iov_len), 0) << turn;
                at += part.iov_len;
            }
        }
    }
    EXPECT_TRUE(image.contents() == model);
}

TEST_P(RawTargetTest, WhatIsNoNeighbourOrOfAnotherKindGoesByItself) {
    open();
    (void)Neighbours{guest, 5, 65536, disk::Operation::write}.submit(*target); // out of the page cache
    target = source->make_target(*guest.io);
    const auto alone = [&](auto change) {
        Neighbours some{guest, 4, 65536, disk::Operation::write};
        change(some);
        const std::uint64_t operations = some.submit(*target);
        EXPECT_EQ(some.results, std::vector<int>(4, 0));
        return operations;
    };
    EXPECT_EQ(alone([](Neighbours& /*some*/) {}), 2u);
    EXPECT_EQ(alone([](Neighbours& some) { some[1].fua = true; }), 3u) << "a durable write";
    EXPECT_EQ(alone([](Neighbours& some) { some[1].operation = disk::Operation::read; }), 3u);
    EXPECT_EQ(alone([](Neighbours& some) { some[1].offset += 512; }), 3u);
    EXPECT_EQ(alone([](Neighbours& some) { std::swap(some[1].offset, some[2].offset); }), 4u) << "in their order only";
}

/// An image that a test makes out to be on other storage than it is.
class RawTargetAlignment : public testing::Test {
protected:
    void SetUp() override {
        disk::DiskSpec spec;
        spec.target = file.path;
        auto opened = disk::open_image(spec);
        ASSERT_TRUE(opened.ok());
        image = *std::move(opened);
    }
    const TemporaryImage file{1 << 18};
    FakeGuest guest;
    std::optional<disk::ImageFile> image;
};

/// As on storage with blocks of 4096 bytes: parts of blocks go through the page cache, whole ones past it.
TEST_F(RawTargetAlignment, PartsOfBlocksAndWholeOnesAgree) {
    image->offset_alignment = image->memory_alignment = 4096;
    disk::RawTarget target{*image, *guest.io};
    std::vector<char> model = file.contents();
    std::mt19937 engine{3};
    const auto random = [&engine] { return static_cast<unsigned>(engine()); };
    auto* memory = reinterpret_cast<char*>(guest.page(guest.allocate(16)));
    for (unsigned turn = 0; turn < 1000; ++turn) {
        const bool whole = random() % 2 == 0, write = random() % 2 == 0;
        const std::size_t unit = whole ? 4096 : 512;
        const std::size_t length = (1 + random() % 4) * unit;
        const std::size_t offset = random() % ((model.size() - length) / unit + 1) * unit;
        const iovec part{memory + (whole ? 0 : random() % 8 * 512), length};
        if (write) {
            std::generate_n(static_cast<char*>(part.iov_base), length, [&] { return static_cast<char>(random()); });
            std::memcpy(model.data() + offset, part.iov_base, length);
        }
        ASSERT_EQ(
            run(guest, target, write ? disk::Operation::write : disk::Operation::read, offset, length, {&part, 1}), 0);
        ASSERT_EQ(std::memcmp(model.data() + offset, part.iov_base, length), 0) << turn;
    }
    EXPECT_TRUE(file.contents() == model);
}

/// A device refuses what is not whole blocks of its own, which the guest need not know.
TEST_F(RawTargetAlignment, ADeviceIsAskedToDiscardWholeBlocksOnly) {
    if (!image->geometry.discard) {
        GTEST_SKIP() << "no holes on this file system";
    }
    image->block_device = true;
    image->device_block = 4096;
    disk::RawTarget target{*image, *guest.io};
    const auto discard = [&](std::uint64_t offset, std::uint64_t length) {
        return run(guest, target, disk::Operation::discard, offset, length);
    };
    EXPECT_EQ(discard(512, 8192), 0);
    EXPECT_EQ(discard(20480 + 512, 3072), 0) << "less than a block";
    const auto now = file.contents();
    for (std::size_t at = 0; at < 32768; ++at) {
        const bool gone = at >= 4096 && at < 8192;
        ASSERT_EQ(now[at], gone ? 0 : TemporaryImage::byte_at(at)) << at;
    }
}

/// The kernel says once that it has lost pages. Here the flush that fails is that of a pipe, put in the image's place.
TEST_P(RawTargetTest, AFlushAfterOneThatFailedVouchesForNothing) {
    disk::DiskSpec spec;
    spec.target = image.path;
    spec.cache = GetParam();
    auto file = disk::open_image(spec);
    ASSERT_TRUE(file.ok());
    if (GetParam() == disk::Cache::direct && !file->direct) {
        GTEST_SKIP() << "no direct I/O here";
    }
    target = std::make_unique<disk::RawTarget>(*file, *guest.io);
    ASSERT_EQ(run(disk::Operation::write, 0, {{guest.page(guest.allocate()), 4096}}), 0);
    ASSERT_EQ(range(disk::Operation::flush, 0, 0), 0);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd reading{ends[0]}, writing{ends[1]}, kept{::dup(file->main.get())};
    ASSERT_GE(::dup2(writing.get(), file->main.get()), 0);
    EXPECT_LT(range(disk::Operation::flush, 0, 0), 0);
    ASSERT_GE(::dup2(kept.get(), file->main.get()), 0);
    const bool direct = GetParam() == disk::Cache::direct; // has left nothing in the page cache
    EXPECT_EQ(range(disk::Operation::flush, 0, 0), direct ? 0 : -ENOTRECOVERABLE);
    target.reset();
}

INSTANTIATE_TEST_SUITE_P(Caches, RawTargetTest, testing::Values(disk::Cache::direct, disk::Cache::buffered),
                         [](const auto& which) { return which.param == disk::Cache::direct ? "direct" : "buffered"; });

} // namespace
} // namespace parapet::disk_test
