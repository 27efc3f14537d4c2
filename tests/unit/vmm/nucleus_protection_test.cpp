// SPDX-License-Identifier: Apache-2.0
// What the nucleus can write of itself: every mapping of the hole is walked, in the guest's roots and in the core's
// own. No frame is writable under one address and executable under another, and code, descriptors and tables under
// none.
#include "vmm/nucleus_loader.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace parapet::vmm {
namespace {

using namespace doorbell;

constexpr std::uint64_t frame_mask = 0x000ffffffffff000ULL;

struct Alias {
    std::uint64_t va;
    bool writable, executable, user;
};

/// All mappings of 4 KiB pages by frame; of 2 MiB pages only in `large`.
struct Mappings {
    std::map<std::uint64_t, std::vector<Alias>> small;
    std::vector<std::pair<std::uint64_t, Alias>> large;
    std::set<std::uint64_t> tables;
};

class Walker {
public:
    Walker(const GuestRam& ram, Mappings& found) : ram_{ram}, found_{found} {}

    void walk(std::uint64_t root) { walk(root, 4, 0, {0, true, true, true}); }

private:
    void walk(std::uint64_t mfn, unsigned level, std::uint64_t va, const Alias& above) {
        ASSERT_NE(ram_.frame(mfn), nullptr);
        found_.tables.insert(mfn);
        const auto* table = ram_.frame_as<const std::uint64_t>(mfn);
        for (std::uint64_t i = 0; i < 512; i++) {
            const std::uint64_t entry = table[i];
            if ((entry & pte::present) == 0) {
                continue;
            }
            Alias here{va | i << (12 + 9 * (level - 1)), above.writable && (entry & pte::writable) != 0,
                       above.executable && (entry & pte::no_execute) == 0, above.user && (entry & pte::user) != 0};
            if (level == 4 && i >= 256) {
                here.va |= 0xffff000000000000;
            }
            const std::uint64_t target = (entry & frame_mask) / page_size;
            if (level == 1) {
                found_.small[target].push_back(here);
            } else if ((entry & pte::large) != 0) {
                found_.large.emplace_back(target, here);
            } else {
                walk(target, level - 1, here.va, here);
            }
        }
    }

    const GuestRam& ram_;
    Mappings& found_;
};

struct Loaded {
    Loaded(Home home, std::uint64_t pages, std::uint64_t seed, unsigned vcpus = 1) {
        MachineLayout layout;
        layout.frames = nucleus_frames(pages) + pages;
        auto made = GuestRam::create(layout);
        EXPECT_TRUE(made);
        ram = std::make_unique<GuestRam>(*std::move(made));
        place = load_nucleus(*ram, {home, M2P_SLOT_ABI, vcpus, seed});
        Walker walker{*ram, found};
        walker.walk(place.stub_root_mfn);
        walker.walk(place.boot->core_root_mfn);
    }
    /// The frame behind an address of the hole.
    [[nodiscard]] std::uint64_t mfn_at(std::uint64_t va) const {
        for (const auto& [mfn, aliases] : found.small) {
            for (const Alias& alias : aliases) {
                if (alias.va == va) {
                    return mfn;
                }
            }
        }
        return 0;
    }

    std::unique_ptr<GuestRam> ram;
    NucleusPlace place;
    Mappings found;
};

constexpr std::uint64_t mib = 256; // in pages

class NucleusProtection : public testing::TestWithParam<std::tuple<Home, std::uint64_t>> {
protected:
    Loaded loaded{std::get<0>(GetParam()), std::get<1>(GetParam()), 42, 3};
    const Mappings& found = loaded.found;
    const NucleusPlace& place = loaded.place;

    void never_writable(std::uint64_t mfn, const char* what) {
        const auto aliases = found.small.find(mfn);
        for (const Alias& alias : aliases == found.small.end() ? std::vector<Alias>{} : aliases->second) {
            EXPECT_FALSE(alias.writable) << what << ", frame " << mfn << " at " << std::hex << alias.va;
        }
        for (const auto& [first, alias] : found.large) {
            EXPECT_FALSE(alias.writable && mfn >= first && mfn < first + 512) << what << ", frame " << mfn;
        }
    }
};

TEST_P(NucleusProtection, NothingIsWritableAndExecutable) {
    std::size_t executable = 0;
    for (const auto& [mfn, aliases] : found.small) {
        bool writes = false, executes = false;
        for (const Alias& alias : aliases) {
            writes = writes || alias.writable;
            executes = executes || alias.executable;
        }
        for (const auto& [first, alias] : found.large) {
            writes = writes || (alias.writable && mfn >= first && mfn < first + 512);
        }
        EXPECT_FALSE(writes && executes) << "frame " << mfn << " at " << std::hex << aliases.front().va;
        executable += executes ? 1 : 0;
    }
    EXPECT_EQ(executable, (place.header.text_end - NUCLEUS_VA + page_size - 1) / page_size) << "only the image's text";
    for (const auto& [first, alias] : found.large) {
        EXPECT_FALSE(alias.executable) << "2 MiB at frame " << first;
    }
}

TEST_P(NucleusProtection, CodeDescriptorsAndTablesAreWritableNowhere) {
    for (std::uint64_t va = NUCLEUS_VA; va < place.header.text_end; va += page_size) {
        const std::uint64_t mfn = loaded.mfn_at(va);
        ASSERT_NE(mfn, 0U);
        never_writable(mfn, "text");
    }
    never_writable(loaded.mfn_at(IDT_VA), "IDT");
    never_writable(loaded.mfn_at(BOOT_INFO_VA), "boot information");
    never_writable(place.boot->zero_mfn, "zeroes");
    std::set<std::uint64_t> of_areas;
    for (const auto& [mfn, aliases] : found.small) {
        for (const Alias& alias : aliases) {
            if (alias.va >= AREA_TABLES_VA && alias.va < AREA_TABLES_VA + 16 * page_size) {
                EXPECT_EQ(aliases.size(), 2U) << "once in each of the two roots";
                of_areas.insert(mfn);
            }
        }
    }
    EXPECT_EQ(of_areas.size(), 5U);
    for (const std::uint64_t table : found.tables) {
        if (!of_areas.contains(table)) {
            never_writable(table, "page table");
        }
    }
}

TEST_P(NucleusProtection, TheDirectMapReachesTheDomainAndLittleElse) {
    const MachineLayout& layout = loaded.ram->layout();
    std::set<std::uint64_t> writable;
    std::uint64_t large = 0;
    for (const auto& [mfn, aliases] : found.small) {
        for (const Alias& alias : aliases) {
            if (alias.va >= DIRECTMAP_VA && alias.va < slot_va(DIRECTMAP_SLOT + 1)) {
                EXPECT_EQ(alias.va, DIRECTMAP_VA + mfn * page_size);
                EXPECT_TRUE(layout.is_ram(mfn)) << mfn;
                if (alias.writable) {
                    writable.insert(mfn);
                }
            }
        }
    }
    for (const auto& [first, alias] : found.large) {
        EXPECT_EQ(alias.va, DIRECTMAP_VA + first * page_size);
        EXPECT_TRUE(layout.is_ram(first) && layout.is_ram(first + 511)) << first;
        EXPECT_GE(first, place.domain_first_mfn);
        large++;
    }
    const BootInfo& boot = *place.boot;
    for (const std::uint64_t mfn : writable) {
        EXPECT_TRUE(mfn >= place.domain_first_mfn || mfn == place.shared_info_mfn ||
                    (mfn >= boot.pool_first_mfn && mfn < boot.pool_end_mfn))
            << mfn;
    }
    // All of the domain is there, and nearly all by large pages (two in two roots each).
    const std::uint64_t pages = layout.frames - place.domain_first;
    const std::uint64_t small = writable.size() - 1 - (boot.pool_end_mfn - boot.pool_first_mfn);
    EXPECT_EQ(large / 2 * 512 + small, pages);
    EXPECT_LT(small, 1024U);
}

TEST_P(NucleusProtection, TheGuestsRootShowsItNothingButTheM2pAndTheTrampoline) {
    Mappings guest;
    Walker{*loaded.ram, guest}.walk(place.stub_root_mfn);
    for (const auto& [mfn, aliases] : guest.small) {
        for (const Alias& alias : aliases) {
            const bool open = alias.va < NUCLEUS_VA || alias.va >= GATE_VA;
            EXPECT_EQ(alias.user, open) << std::hex << alias.va;
            EXPECT_FALSE(alias.user && alias.writable) << std::hex << alias.va;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(HomesAndSizes, NucleusProtection,
                         testing::Combine(testing::Values(Home::ring0, Home::ring3),
                                          testing::Values(1 * mib, 64 * mib, 64 * mib + 1, 4096 * mib)));

TEST(NucleusPlaces, AreDrawnAtEachStart) {
    const Loaded one{Home::ring0, 64 * mib, 1}, same{Home::ring0, 64 * mib, 1}, other{Home::ring0, 64 * mib, 2};
    for (const std::uint64_t va :
         {NUCLEUS_VA, IDT_VA, MAILBOX_VA, vcpu_area_va(0), vcpu_area_va(0) + AREA_CORE_STACK}) {
        EXPECT_EQ(one.mfn_at(va), same.mfn_at(va));
        EXPECT_NE(one.mfn_at(va), other.mfn_at(va)) << std::hex << va;
    }
    EXPECT_NE(one.place.stub_root_mfn, other.place.stub_root_mfn);
    EXPECT_EQ(one.place.domain_first_mfn, other.place.domain_first_mfn);
}

} // namespace
} // namespace parapet::vmm
