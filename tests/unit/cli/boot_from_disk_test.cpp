// SPDX-License-Identifier: Apache-2.0
// Which disk boots where several are given, what is said about the others, and what a reboot starts.
#include "tools/parapet/boot_from_disk.hpp"

#include "vmm/bootdisk/boot_files.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

namespace fs = std::filesystem;

class BootFromDisk : public testing::Test {
protected:
    BootFromDisk() {
        char name[] = "/tmp/boot-from-disk.XXXXXX";
        folder_ = mkdtemp(name);
    }
    ~BootFromDisk() override { fs::remove_all(folder_); }

    /// An ext4 image whose grub.cfg boots kernels that hold `text`.
    void make_image(const std::string& name, const std::string& config) const {
        const std::string tree = folder_ + "/tree";
        fs::remove_all(tree);
        fs::create_directories(tree + "/boot/grub");
        for (const char* file : {"k1", "k2", "i1"}) {
            std::ofstream{tree + "/boot/" + file} << file << std::string(4096, 'x');
        }
        std::ofstream{tree + "/boot/grub/grub.cfg"} << config;
        std::ofstream{tree + "/boot/grub/grubenv"} << "# GRUB Environment Block\n" << std::string(999, '#');
        shell("mke2fs -q -F -t ext4 -d tree " + name + " 8M");
    }
    void shell(const std::string& command) const {
        const std::string full = "PATH=$PATH:/usr/sbin:/sbin; cd " + folder_ + "; " + command + " >log 2>&1";
        ASSERT_EQ(std::system(full.c_str()), 0) << command;
    }
    [[nodiscard]] RunOptions with_disks(std::initializer_list<const char*> names) const {
        RunOptions options;
        for (const char* name : names) {
            options.boot_disks.push_back({folder_ + "/" + name, true});
        }
        return options;
    }
    static std::string beginning(const std::string& path) {
        std::ifstream file{path, std::ios::binary};
        std::string text(2, '\0');
        file.read(text.data(), 2);
        return text;
    }

    std::string folder_;
};

TEST_F(BootFromDisk, LooksAtEveryDisk) {
    make_image("good", "menuentry a { linux /boot/k1 console=hvc0 }");
    make_image("data", "# nothing here\n");
    shell("truncate -s 1M empty; truncate -s 2M swap; mkswap swap");
    RunOptions options = with_disks({"swap", "empty", "data", "good"});
    options.append = "single";
    testing::internal::CaptureStderr();
    const auto done = complete_boot_options(options);
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(done) << done.error().message;
    for (const char* part :
         {"passing over disk '", "/swap': no file system was found", "/data': its boot configuration"}) {
        EXPECT_NE(said.find(part), std::string::npos) << said;
    }
    EXPECT_EQ(beginning(options.kernel), "k1");
    EXPECT_EQ(options.cmdline, "console=hvc0 single");
    EXPECT_EQ(options.kernel_label, folder_ + "/good:/boot/k1");
}

TEST_F(BootFromDisk, SaysWhyNoneBoots) {
    shell("truncate -s 1M empty; truncate -s 2M swap; mkswap swap");
    RunOptions options = with_disks({"swap", "empty"});
    options.boot_disks.push_back({"cloud.qcow2", false});
    const auto done = complete_boot_options(options);
    ASSERT_FALSE(done);
    for (const char* part :
         {"/swap': no file system was found", "/empty': no file system was found", "'cloud.qcow2': is no raw image"}) {
        EXPECT_NE(done.error().message.find(part), std::string::npos) << done.error().message;
    }
}

TEST_F(BootFromDisk, LongCommandLines) {
    RunOptions options;
    options.kernel = "k";
    options.cmdline = std::string(1020, 'x');
    options.append = "yz";
    EXPECT_TRUE(complete_boot_options(options));
    EXPECT_EQ(options.cmdline.size(), 1023U);
    const auto done = complete_boot_options(options);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message.substr(0, 64), "the command line has 1026 bytes, and a PV guest takes 1023 (its ");
}

/// Without an initrd at first; when that has failed and the guest reboots, with it.
TEST_F(BootFromDisk, SecondTryDiffers) {
    make_image("image",
               "load_env\nmenuentry u {\n if [ x$initrdfail = x1 ]; then\n linux /boot/k2 root=x console=hvc0\n"
               " initrd /boot/i1\n else\n linux /boot/k1 root=y panic=-1 console=hvc0\n fi\n"
               " initrdfail=1\n save_env initrdfail\n}\n");
    RunOptions options = with_disks({"image"});
    options.initrds = {"own"};
    options.append = "last";
    const auto done = complete_boot_options(options);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(beginning(options.kernel), "k1");
    EXPECT_EQ(options.cmdline, "root=y panic=-1 console=hvc0 last");
    EXPECT_EQ(options.initrds, std::vector<std::string>{"own"});
    reboot_options(options);
    EXPECT_EQ(beginning(options.kernel), "k2");
    EXPECT_EQ(options.cmdline, "root=x console=hvc0 last");
    ASSERT_EQ(options.initrds.size(), 2U);
    EXPECT_EQ(beginning(options.initrds[0]), "i1");
    EXPECT_EQ(options.initrds[1], "own");
}

TEST_F(BootFromDisk, RebootStartsTheSameOtherwise) {
    make_image("image", "menuentry a { linux /boot/k1 console=hvc0; initrd /boot/i1 }");
    RunOptions options = with_disks({"image"});
    ASSERT_TRUE(complete_boot_options(options));
    const std::string kernel = options.kernel;
    reboot_options(options);
    EXPECT_EQ(options.kernel, kernel);
    EXPECT_EQ(options.initrds.size(), 1U);
}

} // namespace
} // namespace parapet::cli
