// SPDX-License-Identifier: Apache-2.0
// Tests on real images: a folder with a tree of files to make them of, tools to do it, what comes of them.
#pragma once

#include "support/unique_fd.hpp"
#include "vmm/bootdisk/boot_files.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <unistd.h>
#include <utility>

namespace parapet::bootdisk::test {

inline constexpr const char* config = "set default=0\n"
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
        std::filesystem::create_directories(folder_ + "/tree/boot/grub");
        std::mt19937 random{1};
        for (char& c : kernel_) {
            c = static_cast<char>(random());
        }
        write("boot/vmlinuz-1", kernel_);
        std::filesystem::create_symlink("vmlinuz-1", folder_ + "/tree/boot/vmlinuz");
        write("boot/microcode", "abcde");
        write("boot/initrd.img", "fgh");
        write("boot/grub/grub.cfg", config);
    }
    ~Images() override { std::filesystem::remove_all(folder_); }

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

} // namespace parapet::bootdisk::test
