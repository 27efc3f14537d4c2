// SPDX-License-Identifier: Apache-2.0
// Configurations in the shapes in which distributions write them.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/boot_menu.hpp"

#include <gtest/gtest.h>

namespace parapet::bootdisk::test {
namespace {

BootChoice chosen(FakeDisk& disk, const std::optional<std::string>& wanted = {}) {
    auto choice = choose_boot_entry(disk, wanted);
    EXPECT_TRUE(choice) << choice.error().message;
    return choice ? *choice : BootChoice{};
}

std::string refused(FakeDisk& disk, const std::optional<std::string>& wanted = {}) {
    const auto choice = choose_boot_entry(disk, wanted);
    EXPECT_FALSE(choice);
    return choice ? std::string{} : choice.error().message;
}

const Volume debian_root{"loop0,gpt1", "root", "11111111-2222-4333-8444-555555555555"};

TEST(Configurations, DebianDefault) {
    FakeDisk disk;
    disk.add(debian_root, {{"/boot/grub/grub.cfg", corpus("debian.cfg")}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Debian GNU/Linux");
    EXPECT_EQ(choice.entry.kernel.path.substr(0, 15), "/boot/vmlinuz-6");
    ASSERT_EQ(choice.entry.initrds.size(), 1U);
    EXPECT_EQ(choice.entry.initrds[0].path.substr(0, 18), "/boot/initrd.img-6");
    EXPECT_EQ(choice.entry.cmdline, "root=UUID=11111111-2222-4333-8444-555555555555 ro console=hvc0 quiet");
    EXPECT_TRUE(choice.note.empty());
}

/// As Debian 13 writes it.
TEST(Configurations, Debian13) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "root", "642c5c9a-6058-4345-81aa-9724afb65f79"},
             {{"/boot/grub/grub.cfg", corpus("debian13.cfg")}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Debian GNU/Linux");
    EXPECT_EQ(choice.entry.kernel.path, "/boot/vmlinuz-6.12.117+deb13-amd64");
    EXPECT_EQ(choice.entry.cmdline, "root=UUID=642c5c9a-6058-4345-81aa-9724afb65f79 ro console=hvc0 quiet");
    EXPECT_NE(chosen(disk, "1>1").entry.cmdline.find(" single "), std::string::npos);
    EXPECT_TRUE(choice.note.empty()) << choice.note;
}

TEST(Configurations, DebianEntriesByNumberTitleAndPath) {
    FakeDisk disk;
    disk.add(debian_root, {{"/boot/grub/grub.cfg", corpus("debian.cfg")}});
    const std::string recovery = chosen(disk, "1>1").entry.title;
    EXPECT_NE(recovery.find("(recovery mode)"), std::string::npos);
    EXPECT_NE(chosen(disk, "1>1").entry.cmdline.find(" single "), std::string::npos);
    EXPECT_EQ(chosen(disk, recovery.substr(recovery.find(" > ") + 3)).entry.title, recovery);
    EXPECT_EQ(chosen(disk, "Advanced options for Debian GNU/Linux>0").entry.cmdline, chosen(disk).entry.cmdline);
    EXPECT_EQ(refused(disk, "7"), "its boot configuration '/boot/grub/grub.cfg' cannot be used: there is no boot entry "
                                  "'7'; there are: 0 'Debian GNU/Linux', 1 'Advanced options for Debian GNU/Linux'");
}

TEST(Configurations, DebianNextEntry) {
    FakeDisk disk;
    disk.add(debian_root, {{"/boot/grub/grub.cfg", corpus("debian.cfg")},
                           {"/boot/grub/grubenv", "# GRUB Environment Block\nnext_entry=1>1\n#####"}});
    EXPECT_NE(chosen(disk).entry.cmdline.find(" single "), std::string::npos);
}

/// /boot is a partition of its own, and saved_entry names an entry of the submenu.
TEST(Configurations, UbuntuSavedEntry) {
    const std::string id = "gnulinux-advanced-0d1e8f5e-1111-4c4c-9a9a-a0a0a0a0a0a0>"
                           "gnulinux-5.15.0-84-generic-advanced-0d1e8f5e-1111-4c4c-9a9a-a0a0a0a0a0a0";
    FakeDisk disk;
    disk.add({"loop0,gpt1", "cloudimg-rootfs", "0d1e8f5e-1111-4c4c-9a9a-a0a0a0a0a0a0"}, {{"/etc/fstab", ""}});
    disk.add({"loop0,gpt16", "BOOT", "B00TB00T-0000-4000-8000-000000000001"},
             {{"/grub/grub.cfg", corpus("ubuntu.cfg")},
              {"/grub/grubenv", "# GRUB Environment Block\nsaved_entry=" + id + "\n####"}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.kernel.volume, 1U);
    EXPECT_EQ(choice.entry.kernel.path, "/vmlinuz-5.15.0-84-generic");
    EXPECT_EQ(choice.entry.cmdline, "root=PARTUUID=7b1c9b02-9b2f-4d2c-a9c7-0d0d0d0d0d0d ro console=tty1 console=ttyS0");
}

TEST(Configurations, UbuntuWithoutEnvironmentTakesTheFirst) {
    FakeDisk disk;
    disk.add({"loop0,gpt16", "BOOT", "b00tb00t-0000-4000-8000-000000000001"},
             {{"/grub/grub.cfg", corpus("ubuntu.cfg")}});
    EXPECT_EQ(chosen(disk).entry.kernel.path, "/vmlinuz-5.15.0-86-generic");
}

/// The EFI system partition has only a file that says where to go on.
TEST(Configurations, StubOnTheEfiPartition) {
    FakeDisk disk;
    disk.add({"loop0,gpt15", "UEFI", "1234-ABCD"},
             {{"/EFI/ubuntu/grub.cfg", "search.fs_uuid b00tb00t-0000-4000-8000-000000000001 root hd0,gpt16 \n"
                                       "set prefix=($root)'/other/place'\nconfigfile $prefix/grub.cfg\n"}});
    disk.add({"loop0,gpt16", "BOOT", "b00tb00t-0000-4000-8000-000000000001"},
             {{"/other/place/grub.cfg", corpus("ubuntu.cfg")}});
    EXPECT_EQ(chosen(disk).entry.kernel.path, "/vmlinuz-5.15.0-86-generic");
}

class Fedora : public testing::Test {
protected:
    FakeDisk& disk(const std::string& environment) {
        const std::string entry = corpus("fedora-6.5.6.conf");
        std::string older = entry;
        for (std::size_t at = older.find("6.5.6"); at != std::string::npos; at = older.find("6.5.6")) {
            older.replace(at, 5, "6.4.15");
        }
        std::string rescue = entry;
        rescue.replace(rescue.find("title ") + 6, 6, "Rescue");
        FakeDisk::Files files{{"/grub2/grub.cfg", corpus("fedora.cfg")},
                              {"/loader/entries/c0ffee-6.5.6-300.fc39.x86_64.conf", entry},
                              {"/loader/entries/c0ffee-6.4.15-200.fc38.x86_64.conf", older},
                              {"/loader/entries/c0ffee-0-rescue.conf", rescue}};
        if (!environment.empty()) {
            files["/grub2/grubenv"] = "# GRUB Environment Block\n" + environment + "\n#######";
        }
        disk_.add({"loop0,gpt2", "boot", "fed0ra00-0000-4000-8000-000000000002"}, std::move(files));
        disk_.add({"loop0,gpt3", "fedora", "fed0ra00-0000-4000-8000-000000000003"}, {{"/root/etc/os-release", ""}});
        return disk_;
    }
    FakeDisk disk_;
};

TEST_F(Fedora, NewestEntryWithFallbackOptions) {
    const BootChoice choice = chosen(disk(""));
    EXPECT_EQ(choice.entry.title, "Fedora Linux (6.5.6-300.fc39.x86_64) 39 (Cloud Edition)");
    EXPECT_EQ(choice.entry.kernel.path, "/vmlinuz-6.5.6-300.fc39.x86_64");
    ASSERT_EQ(choice.entry.initrds.size(), 1U) << "an empty $tuned_initrd is no file";
    EXPECT_EQ(choice.entry.cmdline.substr(0, 60), "root=UUID=fed0ra00-0000-4000-8000-000000000003 ro rootflags=");
}

TEST_F(Fedora, SavedEntryAndOptionsOfTheEnvironment) {
    const BootChoice choice = chosen(disk("saved_entry=c0ffee-6.4.15-200.fc38.x86_64\nkernelopts=root=/dev/xvda3 ro"));
    EXPECT_EQ(choice.entry.kernel.path, "/vmlinuz-6.4.15-300.fc39.x86_64");
    EXPECT_EQ(choice.entry.cmdline.substr(0, 18), "root=/dev/xvda3 ro");
}

TEST_F(Fedora, EntryByNumber) {
    EXPECT_EQ(chosen(disk(""), "2").entry.title.substr(0, 6), "Rescue");
}

TEST(Configurations, SystemdBoot) {
    FakeDisk disk;
    disk.add({"loop0,gpt1", "ESP", "ABCD-1234"},
             {{"/loader/loader.conf", "# a comment\ntimeout 3\ndefault arch*\n"},
              {"/loader/entries/arch.conf", "title Arch\nlinux /vmlinuz-linux\ninitrd /ucode.img\ninitrd "
                                            "/initramfs-linux.img\noptions root=/dev/vda2\noptions rw quiet\n"},
              {"/loader/entries/windows.conf", "title Windows\nefi /EFI/Microsoft/bootmgfw.efi\n"},
              {"/loader/entries/zzz.conf", "title Other\nlinux /other\n"}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Arch");
    EXPECT_EQ(choice.entry.initrds.size(), 2U);
    EXPECT_EQ(choice.entry.cmdline, "root=/dev/vda2 rw quiet");
}

/// Ubuntu writes the subvolume into the paths.
TEST(Configurations, SubvolumeInPaths) {
    FakeDisk disk;
    disk.add({"loop0", "", "aaaa"}, {{"/@/boot/grub/grub.cfg", "menuentry a {\n linux /@/boot/vmlinuz a=b\n}\n"},
                                     {"/@/boot/vmlinuz", "kernel"}});
    EXPECT_EQ(chosen(disk).entry.kernel.path, "/@/boot/vmlinuz");
}

TEST(Configurations, ArchTwoInitrds) {
    FakeDisk disk;
    disk.add({"loop0,msdos1", "", "a5c40000-0000-4000-8000-000000000001"},
             {{"/boot/grub/grub.cfg", corpus("arch.cfg")}});
    const BootChoice choice = chosen(disk);
    ASSERT_EQ(choice.entry.initrds.size(), 2U);
    EXPECT_EQ(choice.entry.initrds[0].path, "/boot/intel-ucode.img");
    EXPECT_EQ(choice.entry.cmdline, "root=UUID=a5c40000-0000-4000-8000-000000000001 rw loglevel=3 quiet");
}

TEST(Configurations, AlpineGrubNamesThePartition) {
    FakeDisk disk;
    disk.add({"loop0,msdos3", "", "x"}, {{"/etc/passwd", ""}});
    disk.add({"loop0,msdos1", "", "y"}, {{"/grub/grub.cfg", corpus("alpine.cfg")}});
    EXPECT_EQ(chosen(disk).entry.kernel.volume, 1U);
    EXPECT_EQ(chosen(disk).entry.kernel.path, "/vmlinuz-virt");
}

TEST(Configurations, AlpineExtlinux) {
    FakeDisk disk;
    disk.add({"loop0,msdos1", "", "z"}, {{"/boot/extlinux.conf", corpus("alpine-extlinux.conf")}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Linux virt");
    EXPECT_EQ(choice.entry.kernel.path, "/boot/vmlinuz-virt");
    EXPECT_EQ(choice.entry.initrds.at(0).path, "/boot/initramfs-virt");
    EXPECT_EQ(chosen(disk, "lts").entry.kernel.path, "/boot/vmlinuz-lts");
}

/// The entry starts Xen; we take its place.
TEST(Configurations, EntryForXen) {
    FakeDisk disk;
    disk.add({"lvm/vg-root", "", "deb1a000-0000-4000-8000-000000000001"},
             {{"/boot/grub/grub.cfg", corpus("debian-xen.cfg")}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Debian GNU/Linux, with Xen hypervisor");
    EXPECT_EQ(choice.entry.kernel.path, "/boot/vmlinuz-6.1.0-13-amd64");
    EXPECT_EQ(choice.entry.initrds.at(0).path, "/boot/initrd.img-6.1.0-13-amd64");
    EXPECT_EQ(choice.entry.cmdline, "root=/dev/mapper/vg-root ro quiet");
}

/// A PV image without a partition table, as clouds had them.
TEST(Configurations, LegacyGrubOnTheWholeDisk) {
    FakeDisk disk;
    disk.add({"loop0", "cloudimg-rootfs", "c"}, {{"/boot/grub/menu.lst", corpus("ec2-menu.lst")}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Ubuntu 12.04.5 LTS, kernel 3.2.0-67-virtual");
    EXPECT_EQ(choice.entry.cmdline, "root=LABEL=cloudimg-rootfs ro console=hvc0");
    EXPECT_NE(chosen(disk, "1").entry.cmdline.find("single"), std::string::npos);
}

TEST(Configurations, LegacyGrubWithABootPartition) {
    FakeDisk disk;
    disk.add({"loop0,msdos1", "/boot", "c"}, {{"/grub/grub.conf", corpus("centos5-grub.conf")}});
    disk.add({"lvm/VolGroup00-LogVol00", "", "d"}, {{"/etc/passwd", ""}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "CentOS (2.6.18-411.el5xen)");
    EXPECT_EQ(choice.entry.kernel.path, "/vmlinuz-2.6.18-411.el5xen");
    EXPECT_EQ(choice.entry.cmdline, "ro root=/dev/VolGroup00/LogVol00 console=xvc0");
    const BootChoice dom0 = chosen(disk, "2");
    EXPECT_EQ(dom0.entry.kernel.path, "/vmlinuz-2.6.18-411.el5xen");
    EXPECT_EQ(dom0.entry.initrds.at(0).path, "/initrd-2.6.18-411.el5xen.img");
    EXPECT_NE(refused(disk, "0").find("starts no kernel"), std::string::npos);
}

TEST(Configurations, DefaultThatStartsSomethingElse) {
    FakeDisk disk;
    disk.add({"loop0", "", "a"}, {{"/boot/grub/grub.cfg", "set default=firmware\nmenuentry Setup --id firmware {\n"
                                                          " fwsetup\n}\nmenuentry Linux {\n linux /k\n}\n"}});
    const BootChoice choice = chosen(disk);
    EXPECT_EQ(choice.entry.title, "Linux");
    EXPECT_EQ(choice.note, "the boot entry 'Setup' starts no Linux kernel; taking 'Linux'");
}

TEST(Configurations, NothingToBoot) {
    FakeDisk empty;
    EXPECT_NE(refused(empty).find("no file system was found"), std::string::npos);
    FakeDisk data;
    data.add({"loop0", "", ""}, {{"/photos/cat.jpg", "meow"}});
    EXPECT_NE(refused(data).find("no boot configuration"), std::string::npos);
    FakeDisk broken;
    broken.add({"loop0", "", ""}, {{"/boot/grub/grub.cfg", "menuentry 'a {\n"}});
    EXPECT_NE(refused(broken).find("'/boot/grub/grub.cfg' cannot be used: line 1: a quotation mark"),
              std::string::npos);
}

} // namespace
} // namespace parapet::bootdisk::test
