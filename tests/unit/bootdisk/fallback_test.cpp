// SPDX-License-Identifier: Apache-2.0
// What is taken where the entry that a configuration names cannot be used, and what a reboot starts.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/boot_menu.hpp"

#include <gtest/gtest.h>

namespace parapet::bootdisk::test {
namespace {

Result<BootChoice> choose(FakeDisk& disk, const std::optional<std::string>& wanted = {}) {
    return choose_boot_entry(disk, wanted, [&](const BootEntry& entry) -> Result<void> {
        std::vector<FilePlace> files = entry.initrds;
        files.insert(files.begin(), entry.kernel);
        for (const FilePlace& file : files) {
            if (!disk.exists(file)) {
                return Error{"'" + file.path + "' is missing"};
            }
        }
        return {};
    });
}

/// Its title, or its error.
std::string taken(FakeDisk& disk, const std::optional<std::string>& wanted = {}) {
    const auto choice = choose(disk, wanted);
    return choice ? choice->entry.title : "error: " + choice.error().message;
}

std::string note(FakeDisk& disk) {
    const auto choice = choose(disk);
    return choice ? choice->note : "error: " + choice.error().message;
}

/// The entries a, b, c, of which c has an initrd, and d in a submenu.
std::string menu(const std::string& variables) {
    return variables + "\nmenuentry a { linux /a }\nmenuentry b { linux /b }\nmenuentry c { linux /c; initrd /c.img }\n"
                       "submenu s { menuentry d { linux /d } }\n";
}

FakeDisk& with(FakeDisk& disk, const std::string& config, std::initializer_list<const char*> files) {
    FakeDisk::Files all{{"/boot/grub/grub.cfg", config}};
    for (const char* file : files) {
        all[file] = "x";
    }
    return disk.add({"loop0", "", ""}, all);
}

TEST(Fallback, OfGrub) {
    FakeDisk good;
    EXPECT_EQ(taken(with(good, menu("default=1 fallback=2"), {"/a", "/b", "/c", "/c.img"})), "b");
    EXPECT_EQ(note(good), "");
    FakeDisk fallback;
    EXPECT_EQ(taken(with(fallback, menu("default=1\nfallback='0 2'"), {"/c", "/c.img"})), "c");
    EXPECT_EQ(note(fallback), "'/b' is missing (and 1 more); taking 'c'");
    FakeDisk by_name;
    EXPECT_EQ(taken(with(by_name, menu("default=1; fallback=d"), {"/a", "/d"})), "s > d");
}

TEST(Fallback, ToTheNextThatCanBeUsed) {
    FakeDisk no_initrd;
    EXPECT_EQ(taken(with(no_initrd, menu("default=2"), {"/b", "/c"})), "b");
    EXPECT_EQ(note(no_initrd), "'/c.img' is missing (and 1 more); taking 'b'");
    FakeDisk nested;
    EXPECT_EQ(taken(with(nested, menu(""), {"/d"})), "s > d");
    FakeDisk none;
    EXPECT_NE(taken(with(none, menu(""), {})).find("cannot be used: '/a' is missing"), std::string::npos);
}

TEST(Fallback, NotOfWhatTheUserNames) {
    FakeDisk disk;
    EXPECT_NE(taken(with(disk, menu("default=0\nfallback=1"), {"/a", "/b"}), "c").find("'/c' is missing"),
              std::string::npos);
}

TEST(Fallback, OfLegacyGrub) {
    FakeDisk disk;
    disk.add({"loop0", "", ""},
             {{"/boot/grub/menu.lst", "default 0\nfallback 2\ntitle a\nkernel /a\ntitle b\nkernel /b\n"
                                      "title c\nkernel /c\n"},
              {"/b", "x"},
              {"/c", "x"}});
    EXPECT_EQ(taken(disk), "c");
    EXPECT_EQ(note(disk), "'/a' is missing; taking 'c'");
}

TEST(Fallback, ToAnotherConfiguration) {
    FakeDisk disk;
    with(disk, menu(""), {"/k"});
    disk.add({"loop0,2", "", ""}, {{"/boot/extlinux.conf", "label other\n linux /k\n"}, {"/k", "x"}});
    EXPECT_EQ(taken(disk), "other");
    EXPECT_EQ(note(disk), "its boot configuration '/boot/grub/grub.cfg' cannot be used: '/a' is missing; taking what "
                          "'/boot/extlinux.conf' says");
    FakeDisk broken;
    with(broken, "menuentry a {\n", {});
    broken.add({"loop0,2", "", ""}, {{"/boot/extlinux.conf", "label other\n linux /k\n"}, {"/k", "x"}});
    EXPECT_NE(note(broken).find("cannot be used: line 1: no command can begin with the end"), std::string::npos)
        << note(broken);
}

TEST(Fallback, HiddenEntriesOnlyByName) {
    FakeDisk disk;
    with(disk, "default=0\nhiddenentry h --id hid { linux /h }\nmenuentry a { linux /a }", {"/h", "/a"});
    EXPECT_EQ(taken(disk), "a");
    EXPECT_EQ(taken(disk, "0"), "a");
    EXPECT_EQ(taken(disk, "hid"), "h");
    EXPECT_NE(taken(disk, "1").find("there are: 0 'a'"), std::string::npos);
}

/// A file outside must not stand for the one in the image within the image.
TEST(Fallback, LoopbackIsNoOtherFile) {
    for (const char* entry : {"loopback loop /x.iso; linux (loop)/boot/vmlinuz",
                              "set root=hd0; loopback loop /x.iso; set root=(loop); linux /boot/vmlinuz",
                              "loopback hd9 /x.iso; linux (hd9)/boot/vmlinuz"}) {
        FakeDisk disk;
        with(disk, std::string{"menuentry a { "} + entry + " }", {"/boot/vmlinuz", "/x.iso"});
        EXPECT_EQ(taken(disk).substr(0, 6), "error:") << entry;
    }
}

/// Ubuntu's way: the first try goes without an initrd and notes that in the environment block.
TEST(SecondTry, WithTheInitrd) {
    const std::string config =
        "if [ -s $prefix/grubenv ]; then load_env; fi\nmenuentry u {\n if [ \"$initrdfail\" = 1 ]; "
        "then\n linux /k root=x\n initrd /i\n else\n linux /k root=y panic=-1\n fi\n"
        " initrdfail=1; save_env initrdfail\n}\n";
    FakeDisk disk;
    disk.add({"loop0", "", ""},
             {{"/boot/grub/grub.cfg", config}, {"/boot/grub/grubenv", "# GRUB\n"}, {"/k", "x"}, {"/i", "x"}});
    const auto choice = choose(disk);
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(choice->entry.cmdline, "root=y panic=-1");
    EXPECT_TRUE(choice->entry.initrds.empty());
    ASSERT_TRUE(choice->next);
    EXPECT_EQ(choice->next->cmdline, "root=x");
    EXPECT_EQ(choice->next->initrds.size(), 1U);
}

TEST(SecondTry, TheDefaultAfterGrubReboot) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "root", "11111111-2222-4333-8444-555555555555"},
             {{"/boot/grub/grub.cfg", corpus("debian.cfg")},
              {"/boot/grub/grubenv", "# GRUB Environment Block\nnext_entry=1>1\n#####"}});
    const auto choice = choose_boot_entry(disk, {});
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_NE(choice->entry.cmdline.find(" single "), std::string::npos);
    ASSERT_TRUE(choice->next);
    EXPECT_EQ(choice->next->cmdline.find(" single "), std::string::npos);
}

TEST(SecondTry, NoneWhereItWouldBeTheSame) {
    FakeDisk disk;
    with(disk, "menuentry a { recordfail=1; save_env recordfail; linux /a }", {"/a"});
    const auto choice = choose(disk);
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_FALSE(choice->next);
}

} // namespace
} // namespace parapet::bootdisk::test
