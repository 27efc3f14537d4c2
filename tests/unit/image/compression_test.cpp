// SPDX-License-Identifier: Apache-2.0
// bzImages and compressed ELF kernels, each compression: whole, cut, damaged, lying.
#include <cstring>

#include <gtest/gtest.h>

#include "tests/unit/image/image_maker.hpp"

namespace parapet::image::test {
namespace {

class EachCompression : public testing::TestWithParam<Compression> {
protected:
    [[nodiscard]] std::string name() const { return std::string{name_of(GetParam())}; }
    /// Whether the format checks its content.
    [[nodiscard]] bool has_checksum() const {
        return GetParam() != Compression::lzma && GetParam() != Compression::lz4;
    }
};

/// For what is tried a thousand times, and where ASan shall see each byte.
const LoadOptions& quickly() {
    static const LoadOptions options{.decoding = Decoding::here};
    return options;
}

void expect_same(const KernelImage& image, const Bytes& elf) {
    const auto plain = load_bytes(elf);
    ASSERT_TRUE(plain);
    EXPECT_EQ(image.elf_size, elf.size());
    EXPECT_EQ(image.entry, plain->entry);
    MapSink expected;
    MapSink got;
    ASSERT_TRUE(plain->copy_to(expected));
    ASSERT_TRUE(image.copy_to(got));
    EXPECT_TRUE(expected.pages == got.pages);
}

TEST_P(EachCompression, BzImage) {
    const Bytes elf = linux_elf().build();
    const Bytes file = bzimage_of(GetParam(), elf);
    ASSERT_LT(file.size(), elf.size());
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_TRUE(image->is_bzimage);
    EXPECT_EQ(image->compression, GetParam());
    EXPECT_EQ(image->kernel_version, "6.1.0-test");
    EXPECT_EQ(image->version_text, "6.1.0-test (me@here) #1 SMP");
    expect_same(*image, elf);
}

TEST_P(EachCompression, WholeFile) {
    const Bytes elf = linux_elf().build();
    const Bytes file = compress(GetParam(), elf);
    const auto image = load_bytes(file);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_FALSE(image->is_bzimage);
    expect_same(*image, elf);
}

TEST_P(EachCompression, SeveralFrames) {
    if (GetParam() == Compression::lzma || GetParam() == Compression::lzo)
        GTEST_SKIP() << "the format has one stream";
    const Bytes elf = linux_elf().build();
    Bytes payload = compress(GetParam(), std::span{elf}.first(100'000));
    append(payload, compress(GetParam(), std::span{elf}.subspan(100'000)));
    const auto whole = load_bytes(payload);
    ASSERT_TRUE(whole) << whole.error().message;
    expect_same(*whole, elf);
    if (GetParam() == Compression::gzip)
        return; // its last four bytes tell the size of the last member only
    const auto image = load_bytes(bzimage(payload, static_cast<uint32_t>(elf.size()), true, "x"));
    ASSERT_TRUE(image) << image.error().message;
    expect_same(*image, elf);
}

TEST_P(EachCompression, EveryTruncationOfTheFileIsRefused) {
    const Bytes file = bzimage_of(GetParam(), linux_elf(40'000).build());
    const size_t payload_end = file.size() - 100;
    for (size_t size = 1; size < payload_end; size += size < 0x260 ? 1 : 61) {
        const auto image = load_bytes(std::span{file}.first(size), quickly());
        ASSERT_FALSE(image) << size;
        if (size >= 0x206) {
            EXPECT_NE(image.error().message.find("is a truncated bzImage"), std::string::npos) << image.error().message;
        }
        EXPECT_NE(image.error().message.find("test.img"), std::string::npos);
    }
}

TEST_P(EachCompression, TruncationsOfThePayloadAreRefused) {
    const Bytes elf = linux_elf(40'000).build();
    const Bytes packed = compress(GetParam(), elf);
    for (size_t size = 16; size < packed.size(); size += 53) {
        const Bytes cut{packed.begin(), packed.begin() + static_cast<ptrdiff_t>(size)};
        const auto image = load_bytes(bzimage(cut, static_cast<uint32_t>(elf.size()), true, "x"), quickly());
        ASSERT_FALSE(image) << size;
        EXPECT_NE(image.error().message.find(name() + " data"), std::string::npos) << image.error().message;
        const auto whole = load_bytes(cut, quickly());
        EXPECT_FALSE(whole) << size;
    }
}

TEST_P(EachCompression, BitFlipsAreRefusedOrHarmless) {
    const Bytes elf = linux_elf(30'000).build();
    const Bytes file = bzimage_of(GetParam(), elf);
    unsigned refused = 0;
    for (size_t bit = 0x1f0 * 8; bit < file.size() * 8; bit += 331) {
        Bytes flipped = file;
        flipped[bit / 8] ^= std::byte{1} << (bit % 8);
        const auto image = load_bytes(flipped, quickly());
        if (!image) {
            ++refused;
            EXPECT_NE(image.error().message.find("test.img"), std::string::npos);
            continue;
        }
        if (has_checksum())
            expect_same(*image, elf);
    }
    EXPECT_GT(refused, 10U);
}

TEST_P(EachCompression, BombsEndAtTheLimit) {
    const Bytes packed = compress(GetParam(), Bytes(40U << 20));
    LoadOptions options;
    options.max_bytes = 8U << 20;
    auto image = load_bytes(packed, options);
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("unpacks to more than the expected"), std::string::npos)
        << image.error().message;
    // A payload that is larger than it claims to be.
    image = load_bytes(bzimage(packed, 1U << 20, true, "x"), options);
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("unpacks to more than the expected"), std::string::npos)
        << image.error().message;
    // One that claims too much.
    image = load_bytes(bzimage(packed, 1U << 30, true, "x"), options);
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("claims to unpack to 1024 MiB"), std::string::npos) << image.error().message;
}

TEST_P(EachCompression, ShorterThanClaimedIsRefused) {
    const Bytes elf = linux_elf(30'000).build();
    const auto image = load_bytes(bzimage(compress(GetParam(), elf), static_cast<uint32_t>(elf.size() + 1), true, "x"));
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("corrupt " + name()), std::string::npos) << image.error().message;
}

TEST_P(EachCompression, NoKernelInside) {
    auto image = load_bytes(compress(GetParam(), bytes_of("something else that is not a kernel, but long enough")));
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("without an ELF kernel"), std::string::npos) << image.error().message;
    image = load_bytes(compress(GetParam(), bytes_of("0707010000000000000000000000")));
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().message.find("--initrd"), std::string::npos) << image.error().message;
}

TEST_P(EachCompression, LinuxWithoutXenPv) {
    Bytes notes = string_note(6, "linux");
    append(notes, number_note(18, 0x1000850, 4));
    for (const bool pvh : {true, false}) {
        ElfMaker maker;
        maker.load(0x1000000, Bytes(5000, std::byte{1}));
        if (pvh)
            maker.note(notes);
        const auto image = load_bytes(bzimage_of(GetParam(), maker.build()));
        ASSERT_FALSE(image);
        EXPECT_NE(image.error().message.find("is a Linux kernel that is not built with CONFIG_XEN_PV; use"),
                  std::string::npos)
            << image.error().message;
    }
}

INSTANTIATE_TEST_SUITE_P(All, EachCompression, testing::ValuesIn(all_compressions),
                         [](const auto& tested) { return std::string{name_of(tested.param)}; });

TEST(Xz, BranchFilter) {
    const Bytes elf = linux_elf().build();
    const auto image = load_bytes(bzimage(xz_with_bcj(elf), static_cast<uint32_t>(elf.size()), true, "x"));
    ASSERT_TRUE(image) << image.error().message;
    expect_same(*image, elf);
}

TEST(Lz4, SeveralBlocks) {
    ElfMaker maker = linux_elf(20U << 20);
    const Bytes elf = maker.build();
    const auto image = load_bytes(bzimage_of(Compression::lz4, elf));
    ASSERT_TRUE(image) << image.error().message;
    expect_same(*image, elf);
}

TEST(BzImage, RefusesAbsurdHeaders) {
    const Bytes good = bzimage_of(Compression::gzip, linux_elf(5'000).build());
    const auto refusal = [&](size_t at, auto value) {
        Bytes file = good;
        std::memcpy(file.data() + at, &value, sizeof value);
        const auto image = load_bytes(file);
        return image ? std::string{} : image.error().message;
    };
    EXPECT_NE(refusal(0x206, uint16_t{0x207}).find("boot protocol before 2.08"), std::string::npos);
    EXPECT_NE(refusal(0x248, uint32_t{0xffffffff}).find("truncated bzImage"), std::string::npos);
    EXPECT_NE(refusal(0x24c, uint32_t{0xffffffff}).find("truncated bzImage"), std::string::npos);
    EXPECT_NE(refusal(0x24c, uint32_t{7}).find("names no payload"), std::string::npos);
    EXPECT_NE(refusal(0x248, uint32_t{1}).find("damaged payload"), std::string::npos);
    EXPECT_NE(refusal(0x202, uint32_t{0}).find("is not a kernel"), std::string::npos);
    EXPECT_EQ(refusal(0x20e, uint16_t{0xffff}), "") << "a version text elsewhere is only left out";
}

} // namespace
} // namespace parapet::image::test
