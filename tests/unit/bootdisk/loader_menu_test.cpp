// SPDX-License-Identifier: Apache-2.0
// The Boot Loader Specification: order, ids, boot counting, other machines; unified kernel images.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/bls.hpp"
#include "vmm/bootdisk/boot_menu.hpp"
#include "vmm/bootdisk/loader_menu.hpp"
#include "vmm/bootdisk/unified_image.hpp"

#include <cstring>
#include <gtest/gtest.h>

namespace parapet::bootdisk::test {
namespace {

using Entries = std::initializer_list<std::pair<const char*, const char*>>;

FakeDisk& with(FakeDisk& disk, Entries entries, const std::string& loader_conf = "") {
    FakeDisk::Files files{{"/loader/loader.conf", loader_conf}};
    for (const auto& [name, text] : entries) {
        files[std::string{"/loader/entries/"} + name] = std::string{text} + "\nlinux /" + name + "\n";
    }
    return disk.add({"loop0,gpt1", "ESP", ""}, std::move(files));
}

/// All ids in the menu's order.
std::string ids(FakeDisk& disk) {
    std::string text;
    for (const BootEntry& entry : read_loader_menu(disk, "").entries) {
        text += (text.empty() ? "" : " ") + entry.id;
    }
    return text;
}

std::string default_id(FakeDisk& disk, const std::optional<std::string>& wanted = {}) {
    const auto choice = choose_boot_entry(disk, wanted);
    return choice ? choice->entry.id : choice.error().message;
}

TEST(Bls, BootCounting) {
    std::string name = "arch+3";
    EXPECT_EQ(take_counter(name)->left, 3U);
    EXPECT_EQ(name, "arch");
    name = "a+b+2-1";
    EXPECT_EQ(take_counter(name)->done, 1U);
    EXPECT_EQ(name, "a+b");
    for (const char* no_counter :
         {"arch", "arch+", "arch+x", "arch+1-", "arch+-1", "arch+99999999999", "6.1+deb12-1a"}) {
        name = no_counter;
        EXPECT_FALSE(take_counter(name)) << no_counter;
        EXPECT_EQ(name, no_counter);
    }
    FakeDisk disk;
    with(disk, {{"k-3+0-3.conf", ""}, {"k-2+2-1.conf", ""}, {"k-1+3.conf", ""}, {"k-0.conf", ""}});
    EXPECT_EQ(ids(disk), "k-2 k-1 k-0 k-3") << "an exhausted entry stands last";
    EXPECT_EQ(default_id(disk), "k-2");
    EXPECT_EQ(default_id(disk, "k-1"), "k-1");
    EXPECT_EQ(default_id(disk, "k-1.conf"), "k-1");
    FakeDisk only;
    EXPECT_EQ(default_id(with(only, {{"k+0-3.conf", ""}})), "k");
    FakeDisk same;
    with(same, {{"k+1.conf", ""}, {"k+2-1.conf", ""}, {"k+2.conf", ""}});
    EXPECT_EQ(read_loader_menu(same, "").entries[0].kernel.path, "/k+2.conf") << "more left, then fewer done";
    EXPECT_EQ(read_loader_menu(same, "").entries[2].kernel.path, "/k+1.conf");
}

TEST(Bls, OrderedAsSpecified) {
    FakeDisk disk;
    with(disk, {{"zz-9.conf", "version 9"},
                {"aa-10.conf", "version 10"},
                {"f-1.conf", "sort-key fedora\nmachine-id b\nversion 6.9"},
                {"f-2.conf", "sort-key fedora\nmachine-id b\nversion 6.10"},
                {"f-3.conf", "sort-key fedora\nmachine-id a\nversion 5.0"},
                {"d-1.conf", "sort-key debian\nversion 1"}});
    EXPECT_EQ(ids(disk), "d-1 f-3 f-2 f-1 zz-9 aa-10")
        << "by sort key, machine and falling version; without a key behind them, by falling id";
}

TEST(Bls, OtherArchitectures) {
    FakeDisk disk;
    with(disk, {{"k-9.conf", "architecture aa64"},
                {"k-8.conf", "architecture ia32"},
                {"k-7.conf", "architecture X64"},
                {"k-6.conf", ""}});
    EXPECT_EQ(ids(disk), "k-7 k-6");
}

TEST(Bls, DefaultOfLoaderConf) {
    const Entries entries = {{"arch-1+3.conf", ""}, {"arch-2+0-1.conf", ""}, {"zz.conf", ""}};
    for (const char* pattern :
         {"default arch*", "default arch-1.conf", "default arch-1", "timeout 3\ndefault arch-?.conf"}) {
        FakeDisk disk;
        EXPECT_EQ(default_id(with(disk, entries, pattern)), "arch-1") << pattern;
    }
    FakeDisk none;
    EXPECT_EQ(default_id(with(none, entries, "default @saved")), "zz");
}

/// The ESP and /boot of the same system.
TEST(Bls, EntriesOfAllVolumes) {
    FakeDisk disk;
    with(disk, {{"k-1.conf", ""}});
    disk.add({"loop0,gpt2", "boot", ""}, {{"/loader/entries/k-2.conf", "linux /vmlinuz\n"}});
    EXPECT_EQ(ids(disk), "k-2 k-1");
    EXPECT_EQ(choose_boot_entry(disk, {})->config.volume, 1U);
}

/// The same order where GRUB reads the entries.
TEST(Bls, ThroughGrub) {
    FakeDisk disk;
    disk.add({"loop0", "", ""}, {{"/boot/grub2/grub.cfg", "blscfg\n"},
                                 {"/loader/entries/k-3+0-3.conf", "linux /3\n"},
                                 {"/loader/entries/k-2+3.conf", "linux /2\n"},
                                 {"/loader/entries/k-9.conf", "linux /9\narchitecture aa64\n"},
                                 {"/loader/entries/tool.conf", "efi /tool.efi\n"}});
    EXPECT_EQ(default_id(disk), "k-2");
    EXPECT_EQ(default_id(disk, "1"), "k-3");
}

/// A PE file with these sections, each at a multiple of 512 in the file.
std::string pe(std::initializer_list<std::pair<const char*, std::string>> sections, std::uint16_t machine = 0x8664) {
    constexpr std::size_t pe_at = 0x80, table = pe_at + 24 + 16;
    std::string image(1024, '\0');
    const auto put = [&](std::size_t at, auto value) { std::memcpy(image.data() + at, &value, sizeof value); };
    image.replace(0, 2, "MZ");
    put(0x3c, std::uint32_t{pe_at});
    image.replace(pe_at, 2, "PE");
    put(pe_at + 4, machine);
    put(pe_at + 6, static_cast<std::uint16_t>(sections.size()));
    put(pe_at + 20, std::uint16_t{16});
    std::size_t at = table;
    for (const auto& [name, text] : sections) {
        std::memcpy(image.data() + at, name, std::min<std::size_t>(8, std::strlen(name)));
        put(at + 8, static_cast<std::uint32_t>(text.size()));
        put(at + 16, static_cast<std::uint32_t>((text.size() + 511) / 512 * 512));
        put(at + 20, static_cast<std::uint32_t>(image.size()));
        image += text;
        image.resize((image.size() + 511) / 512 * 512);
        at += 40;
    }
    return image;
}

TEST(UnifiedImages, Sections) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "ESP", ""},
             {{"/EFI/Linux/linux-6.1+3-0.efi",
               pe({{".osrel", "NAME=X\nID=debian\nPRETTY_NAME=\"Debian 12\"\nVERSION_ID='12'\n"},
                   {".cmdline", "root=/dev/xvda2 ro\nquiet \n"},
                   {".ucode", "micro"},
                   {".initrd", "init"},
                   {".linux", "kernel"}})},
              {"/EFI/Linux/notes.txt", "x"}});
    const auto choice = choose_boot_entry(disk, {});
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(choice->entry.id, "linux-6.1.efi");
    EXPECT_EQ(choice->entry.title, "Debian 12");
    EXPECT_EQ(choice->entry.cmdline, "root=/dev/xvda2 ro quiet");
    EXPECT_EQ(disk.read(choice->entry.kernel), "kernel");
    ASSERT_EQ(choice->entry.initrds.size(), 2U);
    EXPECT_EQ(disk.read(choice->entry.initrds[0]), "micro");
    EXPECT_EQ(disk.read(choice->entry.initrds[1]), "init");
    EXPECT_EQ(choice->config.path, "/EFI/Linux");
}

TEST(UnifiedImages, AmongEntriesOfFiles) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "ESP", ""}, {{"/EFI/Linux/a-2.efi", pe({{".linux", "2"}})},
                                         {"/EFI/Linux/A-3.EFI", pe({{".linux", "3"}}, 0xaa64)},
                                         {"/EFI/Linux/shell.efi", pe({{".text", "x"}})},
                                         {"/EFI/other.efi", pe({{".cmdline", "of the image"}, {".linux", "o"}})},
                                         {"/loader/entries/b.conf", "efi /EFI/other.efi\noptions own\n"},
                                         {"/loader/entries/c.conf", "uki EFI/other.efi\n"},
                                         {"/loader/entries/d.conf", "efi /EFI/Linux/shell.efi\n"}});
    EXPECT_EQ(ids(disk), "c b a-2.efi");
    EXPECT_EQ(read_loader_menu(disk, "").entries[0].cmdline, "of the image");
    EXPECT_EQ(read_loader_menu(disk, "").entries[1].cmdline, "own");
}

TEST(UnifiedImages, FirstProfile) {
    FakeDisk disk;
    disk.add({"loop0", "", ""}, {{"/EFI/Linux/p.efi", pe({{".cmdline", "base"},
                                                          {".linux", "k"},
                                                          {".profile", "ID=main"},
                                                          {".profile", "ID=reset"},
                                                          {".cmdline", "reset"}})}});
    EXPECT_EQ(choose_boot_entry(disk, {})->entry.cmdline, "base");
}

TEST(UnifiedImages, CutAnywhere) {
    const std::string whole = pe({{".cmdline", "x"}, {".linux", "k"}});
    for (std::size_t length = 0; length < whole.size(); length += length < 1024 ? 1 : 100) {
        FakeDisk disk;
        disk.add({"loop0", "", ""}, {{"/a.efi", whole.substr(0, length)}});
        (void)read_unified_image(disk, {0, "/a.efi"});
    }
    for (std::size_t at = 0; at < 512; at++) {
        std::string bad = whole;
        bad[at] = '\xff';
        FakeDisk disk;
        disk.add({"loop0", "", ""}, {{"/a.efi", bad}});
        (void)read_unified_image(disk, {0, "/a.efi"});
    }
}

} // namespace
} // namespace parapet::bootdisk::test
