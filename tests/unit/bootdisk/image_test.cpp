// SPDX-License-Identifier: Apache-2.0
// Real images, made without mounting: each file system, with and without partitions, and hostile ones.
#include "tests/unit/bootdisk/image_fixture.hpp"

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace parapet::bootdisk {
namespace {

namespace fs = std::filesystem;
using test::Images;

TEST_F(Images, Ext4) {
    ASSERT_TRUE(ext4());
    expect_the_one();
}

TEST_F(Images, Xfs) {
    std::ofstream{folder_ + "/proto"} << "none\n0 0\nd--755 0 0\nboot d--755 0 0\n"
                                         " vmlinuz-1 ---644 0 0 tree/boot/vmlinuz-1\n vmlinuz l--777 0 0 vmlinuz-1\n"
                                         " microcode ---644 0 0 tree/boot/microcode\n"
                                         " initrd.img ---644 0 0 tree/boot/initrd.img\n"
                                         " grub d--755 0 0\n  grub.cfg ---644 0 0 tree/boot/grub/grub.cfg\n $\n$\n$\n";
    ASSERT_TRUE(shell("truncate -s 320M $I; mkfs.xfs -q -m uuid=$U -p proto $I"));
    expect_the_one();
}

TEST_F(Images, Btrfs) {
    ASSERT_TRUE(shell("truncate -s 128M $I; mkfs.btrfs -q -U $U --rootdir $T $I"));
    expect_the_one();
}

TEST_F(Images, BehindAPartitionTable) {
    for (const char* label : {"gpt", "dos"}) {
        ASSERT_TRUE(ext4());
        ASSERT_TRUE(shell("mv $I part; truncate -s 64M $I; printf 'label: " + std::string{label} +
                          "\\nstart=1MiB,size=8MiB\\nstart=16MiB,size=24MiB\\n' | sfdisk -q $I; "
                          "dd if=part of=$I bs=1M seek=16 conv=notrunc,sparse"));
        expect_the_one();
    }
}

TEST_F(Images, BlockDevice) {
    ASSERT_TRUE(ext4());
    // Needs root and a loop device.
    if (std::system(("losetup --find --show --read-only " + image() + " >" + folder_ + "/loop 2>&1").c_str()) != 0) {
        GTEST_SKIP() << "no loop device here";
    }
    std::string device;
    std::ifstream{folder_ + "/loop"} >> device;
    const auto files = find_boot_files({device, {}});
    EXPECT_TRUE(shell("losetup -d " + device));
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->title, "The one");
}

TEST_F(Images, IsNotWrittenTo) {
    ASSERT_TRUE(ext4());
    ASSERT_TRUE(shell("sha256sum $I >before; stat -c %y $I >>before"));
    expect_the_one();
    EXPECT_TRUE(shell("{ sha256sum $I; stat -c %y $I; } | cmp - before"));
}

TEST_F(Images, MissingKernelAndEntry) {
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image(), "Lost").find("the kernel '/boot/gone' of its boot entry 'Lost' cannot be read"),
              std::string::npos);
    EXPECT_NE(refusal(image(), "nix").find("there are: 0 'The one', 1 'Lost'"), std::string::npos);
}

TEST_F(Images, KernelThatIsNoFile) {
    ASSERT_TRUE(shell("rm $T/boot/vmlinuz; mkdir $T/boot/vmlinuz"));
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image()).find("not a regular file"), std::string::npos);
    ASSERT_TRUE(shell("rmdir $T/boot/vmlinuz; mkfifo $T/boot/vmlinuz"));
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image()).find("cannot be read"), std::string::npos);
}

TEST_F(Images, SymlinksInCirclesAndOut) {
    ASSERT_TRUE(shell("cd $T/boot; ln -sf a vmlinuz; ln -s b a; ln -s a b"));
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image()).find("cannot be read"), std::string::npos);
    for (const char* target : {"(host)/etc/hostname", "/../../../../etc/hostname", "/proc/cmdline"}) {
        ASSERT_TRUE(shell("ln -sfn '" + std::string{target} + "' $T/boot/vmlinuz"));
        ASSERT_TRUE(ext4());
        EXPECT_NE(refusal(image()).find("cannot be read"), std::string::npos) << target;
    }
}

/// A configuration that names this machine's own files.
TEST_F(Images, HostsFilesStayOutOfReach) {
    for (const char* path :
         {"(host)/etc/hostname", "(proc)/self", "(loop0)(host)/etc/hostname", "/)(host)/etc/hostname"}) {
        write("boot/grub/grub.cfg", "menuentry x {\n linux '" + std::string{path} + "'\n}\n");
        ASSERT_TRUE(ext4());
        EXPECT_NE(refusal(image()).find("the kernel"), std::string::npos) << path;
    }
}

TEST_F(Images, HugeFiles) {
    ASSERT_TRUE(
        shell("rm $T/boot/vmlinuz; truncate -s 300M $T/boot/vmlinuz; printf x | dd of=$T/boot/vmlinuz conv=notrunc"));
    ASSERT_TRUE(shell("mke2fs -q -F -t ext4 -U $U -d $T $I 400M"));
    EXPECT_NE(refusal(image()).find("larger than 256 MiB"), std::string::npos);
    ASSERT_TRUE(
        shell("rm $T/boot/vmlinuz; truncate -s 20G $T/boot/vmlinuz; printf x | dd of=$T/boot/vmlinuz conv=notrunc"));
    ASSERT_TRUE(shell("mke2fs -q -F -t ext4 -U $U -d $T $I 400M"));
    EXPECT_NE(refusal(image()).find("larger than 256 MiB"), std::string::npos);
    ASSERT_TRUE(
        shell("rm $T/boot/vmlinuz; cp $T/boot/vmlinuz-1 $T/boot/vmlinuz; truncate -s 2M $T/boot/grub/grub.cfg"));
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image()).find("no boot configuration"), std::string::npos);
}

/// With few descriptors the reader must not take others' for its own.
TEST_F(Images, FewDescriptors) {
    ASSERT_TRUE(ext4());
    const std::string victim = folder_ + "/victim";
    const auto attempt = [&](rlim_t most) {
        std::vector<UniqueFd> others;
        for (int fd = 3; fd < 16; fd++) {
            others.emplace_back(open(victim.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        }
        const rlimit limit{most, most};
        const bool limited = setrlimit(RLIMIT_NOFILE, &limit) == 0;
        const auto files = find_boot_files({image(), {}, std::chrono::seconds{20}});
        const bool said = !files && files.error().message.find("ulimit -n") != std::string::npos;
        _exit(limited && (files || said) && fs::file_size(victim) == 0 ? 0 : 1);
    };
    for (const rlim_t most : {64, 305, 350, 403, 405, 1024}) {
        EXPECT_EXIT(attempt(most), testing::ExitedWithCode(0), "") << most;
    }
}

TEST_F(Images, ControlCharactersInTexts) {
    write("boot/grub/grub.cfg", "menuentry 'a\x1b[2Jb' {\n linux /boot/vmlinuz 'x\x01y'\n}\n");
    ASSERT_TRUE(ext4());
    EXPECT_NE(refusal(image()).find("entry 'a?[2Jb' is too long or has control characters"), std::string::npos);
}

TEST_F(Images, NoImages) {
    EXPECT_NE(refusal(folder_ + "/none").find("cannot be opened"), std::string::npos);
    EXPECT_NE(refusal(folder_).find("neither a file nor a block device"), std::string::npos);
    std::ofstream{image()} << "";
    EXPECT_NE(refusal(image()).find("is empty"), std::string::npos);
    std::ofstream{image()} << "QFI\xfb and more";
    EXPECT_NE(refusal(image()).find("is no raw image: write its format behind it ('" + image() + ",qcow2')"),
              std::string::npos);
    std::ofstream{image()} << "just text";
    EXPECT_NE(refusal(image()).find("no file system"), std::string::npos);
}

/// Damage in many places, the same in each run: whatever comes of it, it is a result or one sentence, in time.
TEST_F(Images, Damaged) {
    ASSERT_TRUE(ext4());
    ASSERT_TRUE(shell("cp $I good"));
    std::mt19937 random{7};
    for (int round = 0; round < 40; round++) {
        fs::copy_file(folder_ + "/good", image(), fs::copy_options::overwrite_existing);
        std::fstream file{image(), std::ios::in | std::ios::out | std::ios::binary};
        // Super block, group descriptors, inodes and the first folders lie in front.
        for (int i = 0; i < 200; i++) {
            file.seekp(1024 + static_cast<std::streamoff>(random() % (2U << 20)));
            file.put(static_cast<char>(random()));
        }
        file.close();
        if (round % 4 == 0) {
            fs::resize_file(image(), 1 + random() % (24U << 20));
        }
        const auto files = find_boot_files({image(), {}, std::chrono::seconds{20}});
        if (!files) {
            EXPECT_TRUE(files.error().message.starts_with("disk '")) << files.error().message;
        }
    }
}

} // namespace
} // namespace parapet::bootdisk
