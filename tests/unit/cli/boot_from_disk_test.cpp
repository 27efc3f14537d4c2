// SPDX-License-Identifier: Apache-2.0
// Which disk boots where several are given, what is said about the others, and what a reboot starts.
#include "tools/parapet/boot_from_disk.hpp"

#include "vmm/bootdisk/boot_files.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace parapet::cli {
namespace {

namespace fs = std::filesystem;

class BootFromDisk : public testing::Test {
protected:
    BootFromDisk() {
        char name[] = "/tmp/boot-from-disk.XXXXXX";
        folder_ = mkdtemp(name);
        fs::create_directory(folder_ + "/tmp");
        setenv("TMPDIR", (folder_ + "/tmp").c_str(), 1);
    }
    ~BootFromDisk() override {
        unsetenv("TMPDIR");
        fs::remove_all(folder_);
    }

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
            options.boot_disks.push_back(disk(name));
        }
        return options;
    }
    [[nodiscard]] disk::DiskSpec disk(const std::string& name) const {
        auto spec = disk::parse_disk_spec(name.find("://") == std::string::npos ? folder_ + "/" + name : name);
        EXPECT_TRUE(spec) << spec.error().message;
        return *spec;
    }
    /// The /proc folder of the reader of an image in TMPDIR.
    [[nodiscard]] fs::path wait_for_reader() const {
        for (int tries = 0; tries < 500; tries++, usleep(10000)) {
            for (const auto& process : fs::directory_iterator{"/proc"}) {
                std::ifstream file{process.path() / "cmdline"};
                const std::string words{std::istreambuf_iterator<char>{file}, {}};
                if (words.starts_with("grub-fstest") && words.find(folder_ + "/tmp/") != std::string::npos) {
                    return process.path();
                }
            }
        }
        return {};
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

/// Cloud images, and a server elsewhere: as a raw disk.
TEST_F(BootFromDisk, FormatsOtherThanRaw) {
    make_image("raw", "menuentry a { linux /boot/k1 console=hvc0; initrd /boot/i1 }");
    for (const char* format : {"qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed"}) {
        const std::string name = std::string{"image."} + format;
        shell("qemu-img convert -O " + std::string{format == std::string{"vhd"} ? "vpc" : format} + " raw " + name);
        shell("sha256sum " + name + " | tee before");
        RunOptions options = with_disks({});
        options.boot_disks.push_back(disk(name + "," + format));
        const auto done = complete_boot_options(options);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(beginning(options.kernel), "k1") << format;
        EXPECT_EQ(beginning(options.initrds.at(0)), "i1") << format;
        EXPECT_EQ(options.kernel_label, folder_ + "/" + name + ":/boot/k1");
        shell("sha256sum -c before; test -z \"$(ls -A tmp)\""); // nothing is left behind
    }
}

TEST_F(BootFromDisk, NbdServer) {
    make_image("raw", "menuentry a { linux /boot/k1 console=hvc0; initrd /boot/i1 }");
    const std::string uri = "nbd+unix:///?socket=" + folder_ + "/server";
    shell("nbdkit --pidfile pid -U $PWD/server file raw");
    RunOptions options;
    options.boot_disks.push_back(disk(uri));
    const auto done = complete_boot_options(options);
    shell("kill $(cat pid); while [ -e pid ] && kill -0 $(cat pid); do sleep 0.1; done");
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(beginning(options.kernel), "k1");
    options = with_disks({});
    options.boot_disks.push_back(disk(uri));
    const auto gone = complete_boot_options(options);
    ASSERT_FALSE(gone);
    EXPECT_NE(gone.error().message.find("disk '" + uri + "': "), std::string::npos);
}

/// Beyond what the reader may write, or have in its memory.
TEST_F(BootFromDisk, FarIntoALargeDisk) {
    make_image("part", "menuentry a { linux /boot/k1 console=hvc0 }");
    shell("truncate -s 6G raw && echo start=5GiB | sfdisk -q raw && dd if=part of=raw bs=1M seek=5120 "
          "conv=notrunc,sparse "
          "&& qemu-img convert -O qcow2 raw image && rm raw");
    RunOptions options = with_disks({});
    options.boot_disks.push_back(disk("image,qcow2"));
    const auto done = complete_boot_options(options);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(beginning(options.kernel), "k1");
}

/// The temporary file goes, too, when the user has waited enough for a slow server.
TEST_F(BootFromDisk, ToldToEndMeanwhile) {
    make_image("raw", "menuentry a { linux /boot/k1 console=hvc0 }");
    shell("nbdkit --pidfile pid -U $PWD/server --filter=delay file raw delay-read=20");
    const pid_t child = fork();
    if (child == 0) {
        RunOptions options;
        options.boot_disks.push_back(disk("nbd+unix:///?socket=" + folder_ + "/server"));
        _exit(complete_boot_options(options) ? 0 : 1);
    }
    const auto begun = std::chrono::steady_clock::now();
    while (fs::is_empty(folder_ + "/tmp") && std::chrono::steady_clock::now() - begun < std::chrono::seconds{20}) {
        usleep(10000);
    }
    EXPECT_FALSE(fs::is_empty(folder_ + "/tmp"));
    const fs::path reader = wait_for_reader();
    ASSERT_FALSE(reader.empty());
    for (const auto& fd : fs::directory_iterator{reader / "fd"}) {
        const std::string number = fd.path().filename();
        std::error_code gone;
        const std::string target = fs::read_symlink(fd.path(), gone);
        std::ifstream info{reader / "fdinfo" / number};
        const std::string text{std::istreambuf_iterator<char>{info}, {}};
        EXPECT_FALSE(target.starts_with("socket:") || target.starts_with("/memfd:")) << number << " " << target;
        // flags are octal: the last digit has the access mode
        EXPECT_FALSE(target.starts_with(folder_) && text.find("flags:") != std::string::npos &&
                     text[text.find('\n', text.find("flags:")) - 1] % 4 != 0)
            << "the reader may write " << target;
    }
    kill(child, SIGTERM);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds{15});
    EXPECT_TRUE(fs::is_empty(folder_ + "/tmp"));
    shell("kill -9 $(cat pid)");
}

TEST_F(BootFromDisk, SaysWhyNoneBoots) {
    shell("truncate -s 1M empty; truncate -s 2M swap; mkswap swap");
    RunOptions options = with_disks({"swap", "empty"});
    options.boot_disks.push_back(disk("none.qcow2,qcow2"));
    const auto done = complete_boot_options(options);
    ASSERT_FALSE(done);
    for (const char* part :
         {"/swap': no file system was found", "/empty': no file system was found", "/none.qcow2': cannot open"}) {
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
