// SPDX-License-Identifier: Apache-2.0
// Real images of other boot loaders than GRUB, of btrfs with subvolumes, and without anything to boot.
#include "tests/unit/bootdisk/image_fixture.hpp"

namespace parapet::bootdisk::test {
namespace {

class LoaderImages : public Images {
protected:
    /// "TITLE: KERNEL (COMMAND LINE)", or the error.
    [[nodiscard]] std::string boots(std::optional<std::string> entry = {}) const {
        const auto files = find_boot_files({image(), std::move(entry), std::chrono::seconds{20}});
        return files ? files->title + ": " + files->kernel_path + " (" + files->cmdline + ")" : files.error().message;
    }
    /// A GPT disk whose second partition, after an empty one, is what is in `part`.
    [[nodiscard]] bool partitioned() const {
        return shell("truncate -s 72M $I; printf 'label: gpt\\nstart=1MiB,size=2MiB\\nstart=4MiB,size=64MiB\\n' | "
                     "sfdisk -q $I; dd if=part of=$I bs=1M seek=4 conv=notrunc,sparse");
    }
    [[nodiscard]] bool unpack(const std::string& name) const {
        return shell("xz -dc " BOOTDISK_CORPUS "/" + name + " >$I");
    }
};

TEST_F(LoaderImages, UnifiedKernelImage) {
    write("cmdline", "root=/dev/xvda2 rw\n");
    write("osrel", "ID=debian\nPRETTY_NAME=\"Debian of the image\"\n");
    write("empty.S", "");
    ASSERT_TRUE(
        shell("as -o empty.o $T/empty.S; add() { echo --add-section .$1=$2 --set-section-flags "
              ".$1=contents,alloc,load,readonly,data --change-section-vma .$1=$3; }; "
              "objcopy -O pei-x86-64 $(add osrel $T/osrel 0x1000) $(add cmdline $T/cmdline 0x2000) "
              "$(add initrd $T/boot/initrd.img 0x3000) $(add linux $T/boot/vmlinuz-1 0x10000) empty.o uki.efi"));
    ASSERT_TRUE(shell("truncate -s 64M part; mkfs.fat -F 32 part; export MTOOLS_SKIP_CHECK=1; "
                      "mmd -i part ::EFI ::EFI/Linux ::EFI/BOOT; mcopy -i part uki.efi ::EFI/Linux/debian-6.1+3.efi; "
                      "mcopy -i part $T/cmdline ::EFI/BOOT/BOOTX64.EFI"));
    ASSERT_TRUE(partitioned());
    const auto files = find_boot_files({image(), {}});
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->title, "Debian of the image");
    EXPECT_EQ(files->config, "/EFI/Linux");
    EXPECT_EQ(files->cmdline, "root=/dev/xvda2 rw");
    // objcopy fills sections up to their alignment.
    EXPECT_EQ(contents(files->kernel).substr(0, kernel_.size()), kernel_);
    EXPECT_LT(contents(files->kernel).size(), kernel_.size() + 4096);
    EXPECT_EQ(contents(files->initrd).substr(0, 4), std::string("fgh\0", 4));
    EXPECT_NE(boots("debian-6.1.efi").find("Debian of the image: "), std::string::npos);
}

TEST_F(LoaderImages, UnifiedKernelImageOfAnotherMachine) {
    write("empty.S", "");
    ASSERT_TRUE(shell("as -o empty.o $T/empty.S; objcopy -O pei-x86-64 --add-section .linux=$T/boot/vmlinuz-1 empty.o "
                      "uki.efi; printf '\\144\\252' | dd of=uki.efi bs=1 seek=132 conv=notrunc; "
                      "truncate -s 64M part; mkfs.fat -F 32 part; export MTOOLS_SKIP_CHECK=1; mmd -i part ::EFI "
                      "::EFI/Linux; mcopy -i part uki.efi ::EFI/Linux/arm.efi"));
    ASSERT_TRUE(partitioned());
    EXPECT_NE(boots().find("no boot configuration"), std::string::npos) << boots();
}

TEST_F(LoaderImages, SystemdBoot) {
    ASSERT_TRUE(shell("truncate -s 64M part; mkfs.fat -F 32 part; export MTOOLS_SKIP_CHECK=1; "
                      "mmd -i part ::loader ::loader/entries; mcopy -i part $T/boot/vmlinuz-1 ::Vmlinuz; "
                      "printf 'title Old\\nversion 5\\nsort-key a\\nlinux /vmlinuz\\n' >a; "
                      "printf 'title New\\nversion 6\\nsort-key a\\nlinux /vmlinuz\\noptions quiet\\n' >b; "
                      "printf 'title Bad\\nversion 7\\nsort-key a\\nlinux /vmlinuz\\n' >c; "
                      "mcopy -i part a ::loader/entries/a.conf; mcopy -i part b ::loader/entries/b+2-1.conf; "
                      "mcopy -i part c ::loader/entries/c+0-3.conf"));
    ASSERT_TRUE(partitioned());
    EXPECT_EQ(boots(), "New: /vmlinuz (quiet)");
    EXPECT_EQ(boots("c.conf"), "Bad: /vmlinuz ()");
}

TEST_F(LoaderImages, Cd) {
    ASSERT_TRUE(shell("rm -r $T/boot/grub; mkdir $T/isolinux; mv $T/boot/vmlinuz-1 $T/boot/linux; rm $T/boot/vmlinuz"));
    write("isolinux/isolinux.cfg", "include txt.cfg\ndefault vesamenu.c32\n");
    write("isolinux/txt.cfg", "default live\nlabel live\n menu default\n kernel ../boot/linux\n"
                              " append initrd=/boot/initrd.img boot=live\n");
    ASSERT_TRUE(shell("xorriso -as mkisofs -quiet -R -J -o $I $T"));
    EXPECT_EQ(boots(), "live: /boot/linux (boot=live)");
    ASSERT_TRUE(shell("rm $I; xorriso -as mkisofs -quiet -iso-level 3 --norock -o $I $T"));
    EXPECT_EQ(boots(), "live: /boot/linux (boot=live)") << "without Rock Ridge";
}

TEST_F(LoaderImages, DefaultSubvolumeOfSuse) {
    ASSERT_TRUE(unpack("btrfs-snapshots.img.xz"));
    const auto files = find_boot_files({image(), {}});
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->kernel_path, "/@/.snapshots/3/snapshot/boot/vmlinuz-5.14.21-150500.53-default");
    EXPECT_EQ(contents(files->kernel), "the kernel of snapshot 3") << "not the newest, 12";
    EXPECT_EQ(contents(files->initrd).substr(0, 9), "an initrd");
}

TEST_F(LoaderImages, DefaultSubvolumeOfAnyName) {
    ASSERT_TRUE(unpack("btrfs-named.img.xz"));
    EXPECT_EQ(boots(), "deep: /systems/today/os/deep/root/boot/vmlinuz (root=deep)");
}

TEST_F(LoaderImages, SubvolumesAreListed) {
    ASSERT_TRUE(unpack("btrfs-no-default.img.xz"));
    EXPECT_NE(boots().find("the whole disk has none (btrfs, with the subvolumes '/arch', '/void')"), std::string::npos)
        << boots();
}

/// btrfs's trees with damage in them.
TEST_F(LoaderImages, DamagedSubvolumes) {
    ASSERT_TRUE(unpack("btrfs-named.img.xz"));
    ASSERT_TRUE(shell("cp $I good"));
    std::mt19937 random{11};
    for (int round = 0; round < 12; round++) {
        std::filesystem::copy_file(folder_ + "/good", image(), std::filesystem::copy_options::overwrite_existing);
        std::fstream file{image(), std::ios::in | std::ios::out | std::ios::binary};
        for (int i = 0; i < 40; i++) {
            file.seekp(0x10000 + static_cast<std::streamoff>(i % 2 == 0 ? random() % 4096 : random() % (6U << 20)));
            file.put(static_cast<char>(random()));
        }
        file.close();
        EXPECT_FALSE(boots().empty());
    }
}

TEST_F(LoaderImages, FeaturesOfFileSystemsAreNamed) {
    ASSERT_TRUE(shell("mke2fs -q -F -t ext4 -O large_dir,inline_data -d $T $I 24M"));
    EXPECT_NE(boots().find("the whole disk is ext4 with the features large_dir, inline_data, which GRUB's reader here "
                           "does not know"),
              std::string::npos)
        << boots();
}

TEST_F(LoaderImages, WhatWasLookedAt) {
    write("boot/grub/grub.cfg", "");
    ASSERT_TRUE(shell("rm -r $T/boot/grub; mke2fs -q -F -t ext4 -L data -d $T part 24M; mkswap swap 2>/dev/null || { "
                      "truncate -s 2M swap; mkswap swap; }"));
    ASSERT_TRUE(shell("truncate -s 72M $I; printf "
                      "'label: gpt\\nstart=1MiB,size=2MiB\\nstart=4MiB,size=24MiB\\nstart=32MiB,size=4MiB\\n' | "
                      "sfdisk -q $I; dd if=swap of=$I bs=1M seek=1 conv=notrunc; "
                      "dd if=part of=$I bs=1M seek=4 conv=notrunc,sparse"));
    EXPECT_NE(boots().find("was found on it: partition 1 is swap space; partition 2 has none (ext2, called 'data'); "
                           "partition 3 is empty; name a kernel"),
              std::string::npos)
        << boots();
}

} // namespace
} // namespace parapet::bootdisk::test
