// SPDX-License-Identifier: Apache-2.0
// The initial domain, seen as its kernel will see it: through its page tables, start info and P2M.
#include "tests/unit/vmm/built_domain.hpp"

#include <gtest/gtest.h>
#include <set>
#include <tuple>

namespace parapet::vmm::test {
namespace {

constexpr std::uint64_t mib = (1 << 20) / page_size;
constexpr std::uint64_t usual = 64 * mib;

/// Its bytes stay: the loaded image refers to them.
const image::test::Bytes& linux_kernel() {
    static const image::test::Bytes elf = image::test::linux_elf().build();
    return elf;
}

void expect_p2m_and_m2p_agree(const Built& built) {
    const auto p2m = built.p2m();
    ASSERT_EQ(p2m.size(), built.boot().nr_pages);
    const std::set<std::uint64_t> different{p2m.begin(), p2m.end()};
    EXPECT_EQ(different.size(), p2m.size());
    const MachineLayout& layout = built.ram->layout();
    for (std::uint64_t pfn = 0; pfn < p2m.size(); pfn++) {
        ASSERT_TRUE(layout.is_ram(p2m[pfn])) << pfn;
        ASSERT_GE(p2m[pfn], layout.mfn_of(built.place.domain_first)) << pfn;
        ASSERT_EQ(built.place.m2p[p2m[pfn]], pfn);
    }
}

TEST(DomainBuilder, KernelLiesWhereItWantsTo) {
    const Built built = build(usual, linux_kernel());
    ASSERT_TRUE(built.result) << built.result.error().message;
    image::test::MapSink expected;
    ASSERT_TRUE(built.kernel.copy_to(expected));
    // The hypercall page is filled in afterwards.
    const std::uint64_t hypercall_pfn = (*built.kernel.hypercall_page - built.kernel.virt_base) / page_size;
    for (const auto& [pfn, bytes] : expected.pages) {
        if (pfn != hypercall_pfn) {
            const std::byte* seen = built.at(built.kernel.virt_base + pfn * page_size);
            ASSERT_NE(seen, nullptr);
            ASSERT_EQ(std::memcmp(seen, bytes.data(), page_size), 0) << pfn;
        }
    }
    EXPECT_EQ(built.boot().rip, built.kernel.entry);
}

/// A kernel of its maker's own choosing of addresses: `bss` is what it needs of the address space.
image::test::Bytes kernel_at(std::uint64_t virt_base, std::uint64_t bss, std::uint64_t init_p2m) {
    image::test::Bytes notes = image::test::string_note(6, "linux");
    image::test::append(notes, image::test::string_note(5, "xen-3.0"));
    image::test::append(notes, image::test::string_note(8, "generic"));
    image::test::append(notes, image::test::number_note(3, virt_base));
    image::test::append(notes, image::test::number_note(4, 0));
    image::test::append(notes, image::test::number_note(1, virt_base));
    if (init_p2m != 0) {
        image::test::append(notes, image::test::number_note(15, init_p2m));
    }
    image::test::ElfMaker maker;
    maker.load(0, image::test::Bytes(4096, std::byte{1}), bss).note(notes);
    return maker.build();
}

/// Out of a stranger's disk image, and laid out by a process that is not confined yet.
TEST(DomainBuilder, AKernelLeadsToNoAddressBeyondAGuests) {
    constexpr std::uint64_t lower_end = 0x0000800000000000, hole = 0xffff800000000000, top = 0 - (8ULL << 20);
    const std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, bool> kernels[] = {
        {0xffffffff80000000, 1 << 20, 0, true},
        {0xffffffff80000000, 1 << 20, 0x8000000000, true},
        {top, (8 << 20) - 4096, 0, false},                           // its tables would wrap around
        {lower_end - (4 << 20), (4 << 20) - 4096, 0, false},         // or lie in the hole
        {0xffffffff80000000, 1 << 20, lower_end - page_size, false}, // its P2M would
        {0xffffffff80000000, 1 << 20, 0 - page_size * 2, false},     // or that would wrap
        {0xffffffff80000000, 1 << 20, 0xffffffff80200000, false},    // or lie over the initial mapping
        {0xffffffff80000000, 1 << 20, 0xffffffff80000000 - page_size, false},
    };
    for (const auto& [base, bss, p2m, good] : kernels) {
        const image::test::Bytes elf = kernel_at(base, bss, p2m);
        const Built built = build(usual, elf);
        ASSERT_EQ(built.result.ok(), good) << std::hex << base << " " << p2m;
        if (!good) {
            EXPECT_NE(built.result.error().message.find("has no place in the address space"), std::string::npos)
                << built.result.error().message;
            continue;
        }
        for (std::uint64_t slot = 256; slot < 272; slot++) {
            EXPECT_EQ(built.entry(hole + ((slot - 256) << 39)), std::nullopt) << slot;
        }
    }
}

TEST(DomainBuilder, P2mAndM2pAgree) {
    expect_p2m_and_m2p_agree(build(usual, linux_kernel()));
}

TEST(DomainBuilder, MappingFollowsTheP2m) {
    const Built built = build(usual, linux_kernel());
    const auto p2m = built.p2m();
    ASSERT_FALSE(p2m.empty());
    std::uint64_t pfn = 0;
    for (; built.mfn_at(built.kernel.virt_base + pfn * page_size); pfn++) {
        ASSERT_LT(pfn, p2m.size());
        ASSERT_EQ(built.mfn_at(built.kernel.virt_base + pfn * page_size), p2m[pfn]) << pfn;
    }
    EXPECT_EQ(pfn * page_size % (4 << 20), 0U) << "the ABI maps multiples of 4 MiB";
    const std::uint64_t stack_end = (built.boot().rsp - built.kernel.virt_base) / page_size;
    EXPECT_GE(pfn - stack_end, (512U << 10) / page_size) << "the ABI leaves 512 KiB after the stack";
}

TEST(DomainBuilder, NoPseudoPhysicalFrameIsItsMachineFrame) {
    const auto p2m = build(usual, linux_kernel()).p2m();
    for (std::uint64_t pfn = 0; pfn < p2m.size(); pfn++) {
        ASSERT_NE(p2m[pfn], pfn);
    }
}

TEST(DomainBuilder, PageTablesAreMappedReadOnlyAndTheRestWritable) {
    const Built built = build(usual, linux_kernel());
    std::set<std::uint64_t> tables{built.boot().root_mfn};
    // Every frame that serves as a table, by walking all of them.
    std::vector<std::uint64_t> level{built.boot().root_mfn};
    for (int depth = 3; depth >= 1; depth--) {
        std::vector<std::uint64_t> below;
        for (const std::uint64_t mfn : level) {
            for (int i = 0; i < 512; i++) {
                const std::uint64_t entry = built.ram->frame_as<std::uint64_t>(mfn)[i];
                if ((entry & pte::present) != 0) {
                    below.push_back((entry & 0x000ffffffffff000) / page_size);
                }
            }
        }
        tables.insert(below.begin(), below.end());
        level = below;
    }
    std::size_t seen = 0;
    for (std::uint64_t pfn = 0;; pfn++) {
        const auto entry = built.entry(built.kernel.virt_base + pfn * page_size);
        if (!entry) {
            break;
        }
        const bool is_table = tables.contains((*entry & 0x000ffffffffff000) / page_size);
        seen += is_table ? 1 : 0;
        const std::uint64_t first = (built.start_info().pt_base - built.kernel.virt_base) / page_size;
        const bool in_range = pfn >= first && pfn < first + built.start_info().nr_pt_frames;
        ASSERT_EQ((*entry & pte::writable) == 0, in_range) << pfn;
        ASSERT_TRUE(!is_table || in_range) << pfn;
        ASSERT_NE(*entry & pte::user, 0U);
    }
    EXPECT_EQ(seen, tables.size()) << "each table is in the initial mapping";
    EXPECT_LE(tables.size(), built.start_info().nr_pt_frames);
    EXPECT_EQ(built.mfn_at(built.start_info().pt_base), built.boot().root_mfn);
}

TEST(DomainBuilder, StartInfo) {
    const TemporaryFile initrd{std::string(10'000, 'i')};
    const Built built = build(usual, linux_kernel(), initrd.path(), "a=1 b");
    ASSERT_TRUE(built.result) << built.result.error().message;
    const abi::start_info64& info = built.start_info();
    EXPECT_STREQ(info.magic, "xen-3.0-x86_64");
    EXPECT_EQ(info.nr_pages, usual);
    EXPECT_EQ(info.shared_info, built.place.shared_info_mfn * page_size);
    EXPECT_LT(built.place.shared_info_mfn, built.place.domain_first);
    EXPECT_EQ(info.store_mfn, built.result->store_mfn);
    EXPECT_EQ(info.console.domU.mfn, built.result->console_mfn);
    EXPECT_EQ(info.store_evtchn, built.boot().store_port);
    EXPECT_EQ(info.console.domU.evtchn, built.boot().console_port);
    EXPECT_NE(info.store_evtchn, info.console.domU.evtchn);
    EXPECT_STREQ(reinterpret_cast<const char*>(info.cmd_line), "a=1 b");
    EXPECT_EQ(info.mod_len, 10'000U);
    // The kernel takes its initrd by PFN and its P2M elsewhere (image_maker: linux_notes).
    ASSERT_NE(info.flags & abi::SIF_MOD_START_PFN, 0U);
    const auto p2m = built.p2m();
    EXPECT_EQ(*built.ram->frame(p2m[info.mod_start + 1]), std::byte{'i'});
    ASSERT_TRUE(built.kernel.init_p2m);
    EXPECT_EQ(info.mfn_list, *built.kernel.init_p2m);
    EXPECT_EQ(info.nr_p2m_frames, usual * 8 / page_size);
    EXPECT_EQ(built.mfn_at(info.mfn_list), p2m[info.first_p2m_pfn]);
}

TEST(DomainBuilder, CommandLineIsCutAndEnded) {
    const Built built = build(usual, linux_kernel(), {}, std::string(5000, 'x'));
    const auto* text = reinterpret_cast<const char*>(built.start_info().cmd_line);
    EXPECT_EQ(strnlen(text, abi::MAX_GUEST_CMDLINE), abi::MAX_GUEST_CMDLINE - 1);
}

TEST(DomainBuilder, HypercallPageHasAStubForEachNumber) {
    const Built built = build(usual, linux_kernel());
    const auto* page = reinterpret_cast<const std::uint8_t*>(built.at(*built.kernel.hypercall_page));
    ASSERT_NE(page, nullptr);
    for (std::uint32_t number = 0; number < 128; number++) {
        const std::uint8_t* stub = page + number * 32;
        const std::size_t mov = number == 23 ? 4 : 3;
        ASSERT_EQ(stub[mov], 0xb8);
        ASSERT_EQ(stub[mov + 1], number);
        ASSERT_EQ(stub[mov + 5], 0x0f);
        ASSERT_EQ(stub[mov + 6], 0x05);
    }
}

TEST(DomainBuilder, TooLittleMemoryIsOneSentence) {
    for (const std::uint64_t pages : {std::uint64_t{32}, 4 * mib, 17 * mib}) {
        const Built built = build(pages, linux_kernel());
        ASSERT_FALSE(built.result) << pages;
        EXPECT_NE(built.result.error().message.find("--memory"), std::string::npos) << built.result.error().message;
    }
}

TEST(DomainBuilder, InitrdThatDoesNotFitIsOneSentence) {
    const TemporaryFile initrd{std::string(48 << 20, 'i')};
    const Built built = build(usual, linux_kernel(), initrd.path());
    ASSERT_FALSE(built.result);
    EXPECT_NE(built.result.error().message.find("--memory"), std::string::npos) << built.result.error().message;
}

TEST(DomainBuilder, SeedsGiveOtherOrdersAndTheSameSeedTheSame) {
    const auto one = build(usual, linux_kernel(), {}, {}, 1).p2m(),
               again = build(usual, linux_kernel(), {}, {}, 1).p2m(),
               two = build(usual, linux_kernel(), {}, {}, 2).p2m();
    ASSERT_FALSE(one.empty());
    EXPECT_EQ(one, again);
    EXPECT_NE(one, two);
    for (const std::uint64_t seed : {1, 2, 12345}) {
        expect_p2m_and_m2p_agree(build(usual, linux_kernel(), {}, {}, seed));
    }
}

TEST(DomainBuilder, OddSizes) {
    for (const std::uint64_t pages : {usual - 1, usual + 1, usual + 511, usual + 513}) {
        expect_p2m_and_m2p_agree(build(pages, linux_kernel()));
    }
}

TEST(DomainBuilder, MemoryAcrossTheGap) {
    const std::uint64_t pages = (3ULL << 30) / page_size + 64 * mib;
    const Built built = build(pages, linux_kernel(), {}, {}, 7);
    ASSERT_TRUE(built.result) << built.result.error().message;
    expect_p2m_and_m2p_agree(built);
    const MachineLayout& layout = built.ram->layout();
    for (std::uint64_t mfn = layout.low_end(); mfn < MachineLayout::high_start; mfn += 1024) {
        ASSERT_EQ(built.place.m2p[mfn], ~std::uint64_t{0}) << "no PFN in the gap";
        ASSERT_EQ(built.ram->frame(mfn), nullptr);
    }
    const auto p2m = built.p2m();
    EXPECT_TRUE(std::any_of(p2m.begin(), p2m.end(), [](auto mfn) { return mfn >= MachineLayout::high_start; }));
}

} // namespace
} // namespace parapet::vmm::test
