// SPDX-License-Identifier: Apache-2.0
// The small parsers: versions, environment block, volumes as grub-fstest prints them, devices, the report.
#include "vmm/bootdisk/boot_files.hpp"
#include "vmm/bootdisk/grub_image.hpp"
#include "vmm/bootdisk/grubenv.hpp"
#include "vmm/bootdisk/report.hpp"
#include "vmm/bootdisk/version_order.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <gtest/gtest.h>

namespace parapet::bootdisk {
namespace {

/// The examples of the Version Format Specification, and kernels' versions.
TEST(Versions, OrderedAsSpecified) {
    const char* ascending[][2] = {{"bar-123", "foo-123"},
                                  {"123", "123a"},
                                  {"123", "123.a"},
                                  {"123.a", "123.b"},
                                  {"123.a", "123a"},
                                  {"A", "a"},
                                  {"", "0"},
                                  {"0", "0."},
                                  {"0", "0.0"},
                                  {"~", "0"},
                                  {"~", ""},
                                  {"1_", "1.2"},
                                  {"1.3.3", "1_2_3"},
                                  {"1+", "1.2"},
                                  {"1.3.3", "1+2+3"},
                                  {"0-rescue", "5.4.0"},
                                  {"5.4.0", "5.10.0~rc1"},
                                  {"5.10.0~rc1", "5.10.0"},
                                  {"5.10.0", "5.10.0-9"},
                                  {"5.10.0-9", "5.10.0-10"},
                                  {"5.10.0-10", "5.10.1.el8"},
                                  {"5.10.1.el8", "6.1"},
                                  {"99", "123456789012345678901234567890"}};
    for (const auto& [older, newer] : ascending) {
        EXPECT_LT(compare_versions(older, newer), 0) << older << " " << newer;
        EXPECT_GT(compare_versions(newer, older), 0) << older << " " << newer;
    }
    const char* same[][2] = {{"11", "11"},
                             {"systemd-123", "systemd-123"},
                             {"11\u03b1", "11\u03b2"},
                             {"1_", "1"},
                             {"_1", "1"},
                             {"1+", "1"},
                             {"+1", "1"},
                             {"1.02", "1.2"}};
    for (const auto& [one, other] : same) {
        EXPECT_EQ(compare_versions(one, other), 0) << one << " " << other;
    }
}

TEST(Environment, Values) {
    const auto pairs = parse_grubenv("# GRUB Environment Block\na=1\nkernelopts=root=x ro\nw=a\\\\b\\\nc\n=x\n#####");
    ASSERT_EQ(pairs.size(), 3U);
    EXPECT_EQ(pairs[1].second, "root=x ro");
    EXPECT_EQ(pairs[2].second, "a\\b\nc");
    EXPECT_TRUE(parse_grubenv("\\").empty());
}

TEST(Volumes, AsPrinted) {
    const auto volumes = parse_volumes(
        "Device proc: Filesystem type procfs - Sector size 512B - Total size 0KiB\n"
        "Device loop0: No known filesystem detected - Sector size 512B - Total size 4194304KiB\n"
        "\tPartition loop0,gpt1: Filesystem type ext* - Label `root' - Last modification time 2026-11-25 09:28:25 "
        "Wednesday, UUID 05f59100-d70d-4085-8b9e-6f67a88ae741 - Partition start at 1024KiB - Total size 4192256KiB\n"
        "\tPartition loop0,gpt15: Filesystem type fat - Label `UEFI', UUID 1234-ABCD - Partition start at 1KiB\n"
        "Device lvm/vg-root: Filesystem type xfs, UUID aaaa - Sector size 512B - Total size 4KiB\n"
        "Device host: Filesystem type hostfs - Sector size 512B - Total size 0KiB\n");
    ASSERT_EQ(volumes.size(), 3U);
    EXPECT_EQ(volumes[0].name, "loop0,gpt1");
    EXPECT_EQ(volumes[0].label, "root");
    EXPECT_EQ(volumes[0].uuid, "05f59100-d70d-4085-8b9e-6f67a88ae741");
    EXPECT_EQ(volumes[1].uuid, "1234-ABCD");
    EXPECT_EQ(volumes[2].name, "lvm/vg-root");
}

/// A label or a volume group's name may pretend to be a device; the host's own must stay out of reach.
TEST(Volumes, HostileNames) {
    const auto volumes = parse_volumes(
        "Device loop0: Filesystem type ext* - Label `x\n"
        "Device host: Filesystem type hostfs' - Sector size 512B\n"
        "Device (host): Filesystem type hostfs\nDevice host/etc: Filesystem type ext2\n"
        "Device lvm/a)(host: Filesystem type ext2, UUID 1\nDevice lvm/x y: Filesystem type ext2\nDevice \nPartition");
    for (const Volume& volume : volumes) {
        EXPECT_EQ(volume.name.find("host"), std::string::npos) << volume.name;
    }
}

TEST(Volumes, Devices) {
    const std::vector<Volume> volumes{{"loop0", "", ""}, {"loop0,msdos1", "", ""}, {"loop0,msdos5", "", ""}};
    EXPECT_EQ(find_device(volumes, "hd0"), 0U);
    EXPECT_EQ(find_device(volumes, "hd0,msdos5"), 2U);
    EXPECT_EQ(find_device(volumes, "hd1,5"), 2U);
    EXPECT_EQ(find_device(volumes, "hd0,0", true), 1U);
    EXPECT_EQ(find_device(volumes, "hd0,2"), std::nullopt);
    EXPECT_EQ(find_device(volumes, "host"), std::nullopt);
    EXPECT_EQ(find_device(volumes, "hd0,99999999999999999999"), std::nullopt);
    EXPECT_EQ(place_of(volumes, "(hd0,msdos1)/a", 2).volume, 1U);
    EXPECT_EQ(place_of(volumes, "(hd7,gpt9)/a", 2).volume, 2U) << "of the disk that the image was cut from";
    for (const char* elsewhere :
         {"(host)/etc/shadow", "(loop)/a", "(cd0)/a", "(memdisk)/a", "(tftp,1.2.3.4)/a", "()/a"}) {
        EXPECT_EQ(place_of(volumes, elsewhere, 2).volume, FilePlace::nowhere) << elsewhere;
    }
    EXPECT_EQ(place_of(volumes, "relative", 0).path, "/relative");
    EXPECT_EQ(place_of(volumes, "(unclosed", 1).path, "/(unclosed");
}

TEST(Report, PackedAndUnpacked) {
    const std::vector<std::string> texts{"found", "", std::string(3000, 'x')};
    EXPECT_EQ(unpack_report(pack_report(texts)), texts);
    const std::string bytes = pack_report(texts);
    EXPECT_EQ(unpack_report(std::string_view{bytes}.substr(0, bytes.size() - 1)), std::nullopt);
    EXPECT_EQ(unpack_report("\xff\xff\xff\xff"), std::nullopt);
    EXPECT_EQ(unpack_report(pack_report(std::vector<std::string>(200, "x"))), std::nullopt);
}

TEST(Printable, LeavesTextAndTakesControlAway) {
    EXPECT_EQ(printable("Debian, \xc3\xa4lter \xe2\x82\xac \xf0\x9f\x90\xa7"),
              "Debian, \xc3\xa4lter \xe2\x82\xac \xf0\x9f\x90\xa7");
    EXPECT_EQ(printable("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
    EXPECT_EQ(printable("a\xc2\x9b"
                        "2Jb"),
              "a??2Jb")
        << "CSI, as U+009B";
    EXPECT_EQ(printable("a\x9b"
                        "2Jb"),
              "a?2Jb")
        << "the same outside UTF-8";
    EXPECT_EQ(printable("\xc3\xa4\x9b"
                        "c\xc2"),
              "\xc3\xa4?c\xc2");
    EXPECT_EQ(printable(std::string(300, 'x')), std::string(200, 'x') + "...");
}

TEST(CommandLine, Console) {
    EXPECT_EQ(with_console("root=/dev/xvda1 console=ttyS0"), "root=/dev/xvda1 console=ttyS0 console=hvc0");
    EXPECT_EQ(with_console("console=hvc0 quiet"), "console=hvc0 quiet");
    EXPECT_EQ(with_console(""), "console=hvc0");
}

} // namespace
} // namespace parapet::bootdisk
