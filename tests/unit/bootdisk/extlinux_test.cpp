// SPDX-License-Identifier: Apache-2.0
// syslinux, extlinux, isolinux: what their configurations mean.
#include "tests/unit/bootdisk/fake_disk.hpp"
#include "vmm/bootdisk/boot_menu.hpp"
#include "vmm/bootdisk/other_configs.hpp"

#include <gtest/gtest.h>

namespace parapet::bootdisk::test {
namespace {

class Extlinux : public testing::Test {
protected:
    /// "KERNEL INITRD,... (COMMAND LINE)" of the default entry, or of `wanted`.
    static std::string boots(const std::string& text, FakeDisk::Files others = {},
                             const std::string& path = "/boot/syslinux/syslinux.cfg",
                             const std::optional<std::string>& wanted = {}) {
        FakeDisk disk;
        others[path] = text;
        disk.add({"loop0", "", ""}, std::move(others));
        const auto choice = choose_boot_entry(disk, wanted);
        if (!choice) {
            return choice.error().message;
        }
        std::string shown = choice->entry.kernel.path;
        for (const FilePlace& initrd : choice->entry.initrds) {
            shown += (&initrd == choice->entry.initrds.data() ? " " : ",") + initrd.path;
        }
        return shown + " (" + choice->entry.cmdline + ")";
    }
};

TEST_F(Extlinux, GlobalAppend) {
    const std::string text = "APPEND root=/dev/sda1 initrd=/i\nDEFAULT a\nLABEL a\n LINUX /k\nLABEL b\n LINUX /k\n"
                             " APPEND quiet\nLABEL c\n LINUX /k\n APPEND -\n";
    EXPECT_EQ(boots(text), "/k /i (root=/dev/sda1)");
    EXPECT_EQ(boots(text, {}, "/extlinux.conf", "b"), "/k (quiet)") << "a label's own replaces it";
    EXPECT_EQ(boots(text, {}, "/extlinux.conf", "c"), "/k ()") << "and a dash leaves it out";
}

TEST_F(Extlinux, Includes) {
    EXPECT_EQ(boots("INCLUDE menu/entries.cfg\nDEFAULT a", {{"/boot/syslinux/menu/entries.cfg", "include more.cfg"},
                                                            {"/boot/syslinux/more.cfg", "label a\n kernel k\n"}}),
              "/boot/syslinux/k ()")
        << "counted from the first file's folder";
    EXPECT_EQ(boots("ui menu.c32\nMENU INCLUDE /x.cfg Some menu", {{"/x.cfg", "label a\n kernel /k\n append x y\n"}}),
              "/k (x y)");
    EXPECT_EQ(boots("INCLUDE syslinux.cfg\nINCLUDE gone\nLABEL a\nLINUX /k", {}), "/k ()") << "of itself, bounded";
}

TEST_F(Extlinux, RelativePaths) {
    EXPECT_EQ(boots("LABEL arch\n LINUX ../vmlinuz-linux\n INITRD ../ucode.img,../initramfs.img\n APPEND rw"),
              "/boot/vmlinuz-linux /boot/ucode.img,/boot/initramfs.img (rw)");
    EXPECT_EQ(boots("LABEL a\n LINUX ../../../../k\n APPEND initrd=./i,//j"), "/k /boot/syslinux/i,/j ()");
    EXPECT_EQ(boots("LABEL a\n KERNEL ::boot/k\n"), "/boot/k ()");
}

TEST_F(Extlinux, DefaultWithoutLabel) {
    EXPECT_EQ(boots("DEFAULT linux root=/dev/sda2 initrd=i.img\nAPPEND ro\n"),
              "/boot/syslinux/linux /boot/syslinux/i.img (ro root=/dev/sda2)");
    EXPECT_EQ(boots("DEFAULT a single\nLABEL a\nLINUX /k\nAPPEND ro\n"), "/k (ro single)");
    EXPECT_EQ(boots("DEFAULT Linux\nLABEL other\nLINUX /o\nLABEL linux\nLINUX /k\n"), "/k ()");
}

TEST_F(Extlinux, MenusChoose) {
    const std::string labels = "LABEL a\nLINUX /a\nLABEL b\nMENU DEFAULT\nLINUX /b\n";
    EXPECT_EQ(boots("DEFAULT vesamenu.c32\n" + labels), "/b ()");
    EXPECT_EQ(boots("UI menu.c32\nDEFAULT a\n" + labels), "/a ()");
    EXPECT_EQ(boots("DEFAULT menu.c32\nONTIMEOUT b x\nLABEL a\nLINUX /a\nLABEL b\nLINUX /b\n"), "/b (x)");
    EXPECT_EQ(boots("MENU BEGIN deep\nLABEL d\nMENU DEFAULT\nLINUX /d\nMENU END\n" + labels), "/b ()")
        << "a submenu's default is not the menu's";
}

TEST_F(Extlinux, WhatStartsNoLinux) {
    const std::string good = "LABEL k\nLINUX /k\n";
    for (const char* other : {"LOCALBOOT 0x80", "KERNEL chain.c32\nAPPEND hd0", "COM32 reboot.c32",
                              "MENU DISABLE\nLINUX /disabled", "LINUX /x\nLOCALBOOT -1"}) {
        EXPECT_EQ(boots(std::string{"DEFAULT a\nLABEL a\n"} + other + "\n" + good), "/k ()") << other;
    }
    EXPECT_EQ(boots("LABEL a\nTEXT HELP\nLINUX /in-help\nENDTEXT\nLINUX /k\n"), "/k ()");
}

TEST_F(Extlinux, XenByMboot) {
    EXPECT_EQ(boots("LABEL x\nKERNEL mboot.c32\nAPPEND xen.gz dom0_mem=1G --- vmlinuz root=/dev/sda1 --- initrd.img\n"),
              "/boot/syslinux/vmlinuz /boot/syslinux/initrd.img (root=/dev/sda1)");
}

/// Debian's installer and others have it so.
TEST_F(Extlinux, OnCds) {
    const std::string config = "# D-I config version 2.0\npath \nprompt 0\ntimeout 0\ninclude menu.cfg\n"
                               "default vesamenu.c32\n";
    const FakeDisk::Files files{{"/isolinux/menu.cfg", "menu hshift 7\ninclude txt.cfg\n"},
                                {"/isolinux/txt.cfg",
                                 "default install\nlabel install\n\tmenu label ^Install\n\tmenu default\n"
                                 "\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/initrd.gz --- "
                                 "quiet \n"}};
    EXPECT_EQ(boots(config, files, "/isolinux/isolinux.cfg"),
              "/install.amd/vmlinuz /install.amd/initrd.gz (vga=788 --- quiet)");
    for (const char* path : {"/isolinux.cfg", "/boot/isolinux/isolinux.cfg", "/syslinux.cfg"}) {
        EXPECT_EQ(boots("LABEL a\nLINUX /k\n", {}, path), "/k ()") << path;
    }
}

} // namespace
} // namespace parapet::bootdisk::test
