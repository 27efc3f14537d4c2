// SPDX-License-Identifier: Apache-2.0
// Reports that data has forged which took over the process that reads kernels: refused, or a kernel that does no harm.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <random>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/unit/image/image_maker.hpp"
#include "vmm/image/byte_source.hpp"
#include "vmm/image/confined_decoder.hpp"
#include "vmm/image/image_report.hpp"
#include "vmm/image/kernel_reader.hpp"
#include "vmm/image/layout.hpp"

namespace parapet::image::test {
namespace {

constexpr uint64_t max_bytes = 64U << 20;

const Bytes& kernel() {
    static const Bytes elf = linux_elf().build();
    return elf;
}

ImageReport honest_report() {
    const MemorySource file{kernel()};
    auto out = Output::reserve(0);
    ImageReport report{};
    read_kernel({file, nullptr, max_bytes}, *out, report);
    return report;
}

/// As load_image() takes it.
Result<KernelImage> accept(const ImageReport& report) {
    auto parsed = read_report(report);
    if (!parsed)
        return parsed.error();
    KernelImage image;
    if (auto accepted = accept_parsed(*std::move(parsed), kernel().size(), max_bytes, image); !accepted)
        return accepted.error();
    return image;
}

/// What accept() says of an honest report that is then changed so; "" if it takes it.
std::string refusal(const std::function<void(ImageReport&)>& forge) {
    ImageReport report = honest_report();
    forge(report);
    const auto image = accept(report);
    return image ? std::string{} : image.error().message;
}

bool printable(const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// What the domain builder relies on.
void expect_harmless(const KernelImage& image) {
    uint64_t before = image.virt_start;
    ASSERT_FALSE(image.segments.empty());
    for (const Segment& segment : image.segments) {
        ASSERT_GE(segment.vaddr, before);
        ASSERT_GT(segment.mem_size, 0U);
        ASSERT_LE(segment.file_size, segment.mem_size);
        ASSERT_LE(segment.mem_size, image.virt_end - segment.vaddr);
        ASSERT_LE(segment.offset, kernel().size());
        ASSERT_LE(segment.file_size, kernel().size() - segment.offset);
        before = segment.vaddr + segment.mem_size;
    }
    ASSERT_LE(image.virt_base, image.virt_start);
    ASSERT_LE(image.virt_end - image.virt_base, max_bytes);
    ASSERT_TRUE(image.entry >= image.virt_start && image.entry < image.virt_end);
    if (image.hypercall_page) {
        ASSERT_TRUE(*image.hypercall_page % page_size == 0 && *image.hypercall_page >= image.virt_base &&
                    *image.hypercall_page < image.virt_end);
    }
    if (image.init_p2m) {
        ASSERT_EQ(*image.init_p2m % page_size, 0U);
    }
    for (const std::string& text : {image.version_text, image.kernel_version, image.notes.guest_os,
                                    image.notes.guest_version, image.notes.xen_version, image.notes.loader})
        ASSERT_TRUE(printable(text) && text.size() <= 1024) << text;
    ASSERT_LE(image.notes.l1_mfn_valid.size(), ImageReport::max_l1_pairs);
}

TEST(ImageReport, SaysAllThatTheFileSays) {
    Bytes notes = linux_notes();
    append(notes, raw_note("Xen", 13, Bytes(32, std::byte{7})));
    ElfMaker maker;
    maker.load(0x1000000, Bytes(5000, std::byte{1}), 9000).note(notes);
    const Bytes elf = maker.build();
    const auto parsed = parse_elf(MemorySource{elf});
    ASSERT_TRUE(parsed) << parsed.error().message;
    ImageReport report{};
    write_report({true, Compression::zstd, ElfPlace::unpacked, "6.1 (me)", *parsed}, report);
    const auto read = read_report(report);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(read->is_bzimage);
    EXPECT_EQ(read->compression, Compression::zstd);
    EXPECT_EQ(read->place, ElfPlace::unpacked);
    EXPECT_EQ(read->version_text, "6.1 (me)");
    const Elf& got = read->elf;
    EXPECT_EQ(got.entry, parsed->entry);
    EXPECT_EQ(got.machine, parsed->machine);
    ASSERT_EQ(got.segments.size(), parsed->segments.size());
    EXPECT_EQ(std::memcmp(got.segments.data(), parsed->segments.data(), sizeof(Segment)), 0);
    EXPECT_EQ(got.notes.entry, parsed->notes.entry);
    EXPECT_EQ(got.notes.hypercall_page, parsed->notes.hypercall_page);
    EXPECT_EQ(got.notes.virt_base, parsed->notes.virt_base);
    EXPECT_EQ(got.notes.init_p2m, parsed->notes.init_p2m);
    EXPECT_EQ(got.notes.hv_start_low, parsed->notes.hv_start_low);
    EXPECT_EQ(got.notes.phys32_entry, parsed->notes.phys32_entry);
    EXPECT_EQ(got.notes.guest_os, parsed->notes.guest_os);
    EXPECT_EQ(got.notes.guest_version, parsed->notes.guest_version);
    EXPECT_EQ(got.notes.xen_version, parsed->notes.xen_version);
    EXPECT_EQ(got.notes.loader, parsed->notes.loader);
    EXPECT_EQ(got.notes.features.supported, parsed->notes.features.supported);
    EXPECT_EQ(got.notes.features.required, parsed->notes.features.required);
    EXPECT_EQ(got.notes.features.unknown, parsed->notes.features.unknown);
    EXPECT_EQ(got.notes.pae_mode, parsed->notes.pae_mode);
    EXPECT_EQ(got.notes.suspend_cancel, parsed->notes.suspend_cancel);
    EXPECT_EQ(got.notes.mod_start_pfn, parsed->notes.mod_start_pfn);
    EXPECT_EQ(got.notes.l1_mfn_valid.size(), 3U);
}

TEST(ImageReport, HonestOnesAreTaken) {
    EXPECT_EQ(refusal([](ImageReport&) {}), "");
}

TEST(ImageReport, WhatIsOutOfBoundsIsRefused) {
    const std::string broke = "its data broke the process";
    const std::function<void(ImageReport&)> forgeries[] = {
        [](ImageReport& r) { r.segment_count = 0; },
        [](ImageReport& r) { r.segment_count = ImageReport::max_segments + 1; },
        [](ImageReport& r) { r.segment_count = UINT32_MAX; },
        [](ImageReport& r) { r.compression = 8; },
        [](ImageReport& r) { r.place = 3; },
        [](ImageReport& r) { r.machine = 0x1003e; }, // cut to 16 bits it would be right
        [](ImageReport& r) { r.pae_mode = 4; },
        [](ImageReport& r) { r.l1_pair_count = ImageReport::max_l1_pairs + 1; },
    };
    for (const auto& forge : forgeries)
        EXPECT_NE(refusal(forge).find(broke), std::string::npos) << &forge - forgeries;
}

TEST(ImageReport, SegmentsThatAreNotInTheFileAreRefused) {
    ASSERT_GE(honest_report().segment_count, 2U);
    const std::pair<std::function<void(Segment&)>, const char*> forgeries[] = {
        {[](Segment& s) { s.offset = kernel().size(); }, "ends beyond the file's end"},
        {[](Segment& s) { s.offset = UINT64_MAX - 10; }, "ends beyond the file's end"},
        {[](Segment& s) { s.file_size = s.mem_size + 1; }, "more bytes in the file than in memory"},
        {[](Segment& s) { s.mem_size = s.file_size = 0; }, "is empty"},
        {[](Segment& s) { s.mem_size = UINT64_MAX; }, "wraps around"},
        {[](Segment& s) { s.paddr = UINT64_MAX - 10; }, "wraps around"},
        {[](Segment& s) { s.mem_size = 1ULL << 40; }, "overlap"},
    };
    for (const auto& [forge, words] : forgeries) {
        const auto& change = forge;
        EXPECT_NE(refusal([&](ImageReport& r) { change(r.segments[0]); }).find(words), std::string::npos) << words;
    }
    EXPECT_NE(refusal([](ImageReport& r) { std::swap(r.segments[0], r.segments[1]); }).find("overlap"),
              std::string::npos)
        << "not sorted";
}

TEST(ImageReport, AddressesThatAreNoKernelsAreRefused) {
    const auto number = [](uint64_t value) { return ImageReport::Number{1, value}; };
    EXPECT_NE(refusal([&](ImageReport& r) { r.note_entry = number(0xffff820000000000); }), "");
    EXPECT_NE(refusal([&](ImageReport& r) { r.hypercall_page = number(0xffff820000000000); }), "");
    EXPECT_NE(refusal([&](ImageReport& r) { r.hypercall_page_number = number(1ULL << 40); }), "");
    EXPECT_NE(refusal([&](ImageReport& r) { r.init_p2m = number(0xffff820000000000); }), "");
    EXPECT_NE(refusal([&](ImageReport& r) { r.virt_base = number(0xffff820000000000); }), "");
    EXPECT_NE(refusal([&](ImageReport& r) { r.paddr_offset = number(1ULL << 40); }), "");
    EXPECT_NE(refusal([](ImageReport& r) { r.wide = 0; }), "");
}

TEST(ImageReport, ErrorsAndTextsCanBePrinted) {
    const std::string refused = refusal([](ImageReport& r) { r.error.fill('\x1b'); });
    EXPECT_TRUE(printable(refused)) << refused;
    EXPECT_EQ(refused.size(), sizeof(ImageReport::error));
    ImageReport report = honest_report();
    report.version_text.fill('\x9b');
    const auto image = accept(report);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->version_text, std::string(sizeof report.version_text, '?'));
}

TEST(ImageReport, AtRandomNothingHarmfulIsTaken) {
    std::mt19937_64 random{20261130};
    const ImageReport honest = honest_report();
    // Most of a report is text, so that every second change is of what comes before.
    const size_t head = offsetof(ImageReport, segments) + 4 * sizeof(Segment);
    unsigned taken = 0;
    unsigned refused = 0;
    for (unsigned round = 0; round < 20'000; ++round) {
        ImageReport report = honest;
        auto* const bytes = reinterpret_cast<unsigned char*>(&report);
        for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
            const size_t at = random() % (random() % 2 != 0 ? head : sizeof report);
            uint64_t value = random() % 2 != 0 ? random() : uint64_t{1} << random() % 64;
            value = random() % 4 == 0 ? ~value : value;
            std::memcpy(bytes + at, &value, std::min(1 + random() % sizeof value, sizeof report - at));
        }
        const auto image = accept(report);
        (image ? taken : refused)++;
        if (image)
            expect_harmless(*image);
        else
            ASSERT_TRUE(printable(image.error().message)) << image.error().message;
        if (HasFatalFailure())
            FAIL() << "in round " << round;
    }
    EXPECT_GT(taken, 1000U);
    EXPECT_GT(refused, 1000U);
}

/// The child's own words, forged in the child.
TEST(ConfinedReader, ItsReportIsNotBelieved) {
    auto page = Mapping::reserve_shared(sizeof(ImageReport));
    auto out = Output::reserve_shared(page_size);
    ASSERT_TRUE(page && out);
    auto* const report = new (page->bytes().data()) ImageReport{honest_report()};
    const auto how = decode_confined(
        [&](Output&) {
            report->segments[0].offset = UINT64_MAX;
            return Decoded::ok;
        },
        -1, *out);
    ASSERT_TRUE(how) << how.error().message;
    EXPECT_FALSE(accept(*report));
}

class ConfinedReaderFile : public testing::Test {
protected:
    void SetUp() override {
        file_ = memfd_create("kernel", MFD_CLOEXEC);
        other_ = memfd_create("disk", MFD_CLOEXEC);
        ASSERT_EQ(pwrite(file_, "kernel", 6, 0), 6);
        ASSERT_EQ(pwrite(other_, "secret", 6, 0), 6);
    }
    void TearDown() override {
        close(file_);
        close(other_);
    }
    /// Whether the child gets this done.
    bool does(const std::function<bool()>& deed) const {
        auto out = Output::reserve_shared(page_size);
        const auto how = decode_confined([&](Output&) { return deed() ? Decoded::ok : Decoded::corrupt; }, file_, *out);
        EXPECT_TRUE(how) << how.error().message;
        return how && *how == Decoded::ok;
    }
    int file_ = -1;
    int other_ = -1;
};

TEST_F(ConfinedReaderFile, ReadsTheKernelAndNothingElse) {
    char bytes[6];
    const iovec vector{bytes, sizeof bytes};
    EXPECT_TRUE(does([&] { return preadv(file_, &vector, 1, 0) == 6 && std::memcmp(bytes, "kernel", 6) == 0; }));
    EXPECT_FALSE(does([&] { return preadv(other_, &vector, 1, 0) >= 0; }));
    EXPECT_FALSE(does([&] { return dup(file_) >= 0 || dup2(file_, other_) >= 0; }));
}

/// It may be open for writing: what a disk's kernel is read into.
TEST_F(ConfinedReaderFile, DoesNotChangeIt) {
    EXPECT_FALSE(does([&] { return write(file_, "x", 1) == 1 || pwrite(file_, "x", 1, 0) == 1; }));
    EXPECT_FALSE(does([&] { return ftruncate(file_, 0) == 0; }));
    EXPECT_FALSE(does([&] { return mmap(nullptr, page_size, PROT_WRITE, MAP_SHARED, file_, 0) != MAP_FAILED; }));
}

} // namespace
} // namespace parapet::image::test
