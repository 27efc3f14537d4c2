// SPDX-License-Identifier: Apache-2.0
// Real images, made without mounting: each file system, with and without partitions, and hostile ones.
#include "support/unique_fd.hpp"
#include "vmm/bootdisk/boot_files.hpp"

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

constexpr const char* config = "set default=0\n"
                               "menuentry 'The one' --id one {\n"
                               "  search --fs-uuid --set=root 11111111-2222-4333-8444-555555555555\n"
                               "  linux /boot/vmlinuz root=UUID=11111111-2222-4333-8444-555555555555 ro quiet\n"
                               "  initrd /boot/microcode /boot/initrd.img\n"
                               "}\n"
                               "menuentry 'Lost' {\n  linux /boot/gone\n}\n";

class Images : public testing::Test {
protected:
    Images() {
        char name[] = "/tmp/bootdisk-images.XXXXXX";
        folder_ = mkdtemp(name);
        fs::create_directories(folder_ + "/tree/boot/grub");
        std::mt19937 random{1};
        for (char& c : kernel_) {
            c = static_cast<char>(random());
        }
        write("boot/vmlinuz-1", kernel_);
        fs::create_symlink("vmlinuz-1", folder_ + "/tree/boot/vmlinuz");
        write("boot/microcode", "abcde");
        write("boot/initrd.img", "fgh");
        write("boot/grub/grub.cfg", config);
    }
    ~Images() override { fs::remove_all(folder_); }

    void write(const std::string& path, const std::string& text) const {
        std::ofstream{folder_ + "/tree/" + path, std::ios::binary} << text;
    }
    [[nodiscard]] std::string image() const { return folder_ + "/image"; }
    /// Runs a shell command with $T the tree, $I the image, $U the UUID; output is shown where it fails.
    [[nodiscard]] bool shell(const std::string& command) const {
        const std::string full = "PATH=$PATH:/usr/sbin:/sbin; cd " + folder_ +
                                 "; T=tree I=image U=11111111-2222-4333-8444-555555555555; exec >log 2>&1; set -e; " +
                                 command;
        const bool done = std::system(full.c_str()) == 0;
        if (!done) {
            std::ifstream log{folder_ + "/log"};
            ADD_FAILURE() << command << "\n" << std::string{std::istreambuf_iterator<char>{log}, {}};
        }
        return done;
    }
    [[nodiscard]] bool ext4() const { return shell("mke2fs -q -F -t ext4 -U $U -d $T $I 24M"); }

    [[nodiscard]] std::string refusal(const std::string& path, std::optional<std::string> entry = {}) const {
        const auto begin = std::chrono::steady_clock::now();
        const auto files = find_boot_files({path, std::move(entry), std::chrono::seconds{20}});
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{25});
        EXPECT_FALSE(files);
        if (files) {
            return {};
        }
        const std::string& sentence = files.error().message;
        EXPECT_EQ(sentence.find_first_of("\n\t\x1b"), std::string::npos) << sentence;
        EXPECT_TRUE(sentence.starts_with("disk '" + path + "': ")) << sentence;
        return sentence;
    }

    void expect_the_one() const {
        const auto files = find_boot_files({image(), {}});
        ASSERT_TRUE(files) << files.error().message;
        EXPECT_EQ(files->title, "The one");
        EXPECT_EQ(files->kernel_path, "/boot/vmlinuz");
        EXPECT_EQ(files->cmdline, "root=UUID=11111111-2222-4333-8444-555555555555 ro quiet");
        EXPECT_EQ(contents(files->kernel), kernel_);
        // The second archive begins at a multiple of 4 bytes.
        EXPECT_EQ(contents(files->initrd), std::string("abcde\0\0\0fgh\0", 12));
        EXPECT_NE(ftruncate(files->kernel.get(), 0), 0) << "sealed";
    }

    [[nodiscard]] static std::string contents(const UniqueFd& file) {
        std::ifstream stream{"/proc/self/fd/" + std::to_string(file.get()), std::ios::binary};
        return {std::istreambuf_iterator<char>{stream}, {}};
    }

    std::string folder_, kernel_ = std::string(3 << 20, '\0');
};

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
    EXPECT_NE(refusal(image()).find("no raw image (qcow2)"), std::string::npos);
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
