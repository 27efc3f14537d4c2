// SPDX-License-Identifier: Apache-2.0
// Kernel and initrds stay open: what is under their names afterwards does not matter.
#include "vmm/boot_source.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

class BootSources : public testing::Test {
protected:
    BootSources() {
        char name[] = "/tmp/boot-source.XXXXXX";
        folder_ = mkdtemp(name);
    }
    ~BootSources() override { std::filesystem::remove_all(folder_); }

    std::string file(const std::string& name, const std::string& text) const {
        std::ofstream{folder_ + "/" + name} << text;
        return folder_ + "/" + name;
    }
    static std::string message(const Result<OpenedBoot>& boot) { return boot ? "" : boot.error().message; }

    std::string folder_;
};

TEST_F(BootSources, AreOpenedOnce) {
    const std::string kernel = file("kernel", "no kernel");
    const std::string initrd = file("initrd", "12345");
    const auto boot = OpenedBoot::open({kernel, "disk:/vmlinuz", {initrd, initrd}});
    ASSERT_TRUE(boot) << boot.error().message;
    std::filesystem::remove_all(folder_);
    EXPECT_EQ(boot->initrd().size(), 13U);
    const auto loaded = boot->load_kernel(image::Decoding::confined);
    ASSERT_FALSE(loaded);
    EXPECT_NE(loaded.error().message.find("'disk:/vmlinuz' is not a kernel"), std::string::npos)
        << loaded.error().message;
}

TEST_F(BootSources, NameWhatIsMissing) {
    EXPECT_NE(message(OpenedBoot::open({folder_ + "/k", {}, {folder_ + "/i"}})).find("kernel '" + folder_ + "/k'"),
              std::string::npos);
    EXPECT_NE(message(OpenedBoot::open({file("k", "x"), {}, {folder_ + "/i"}})).find("initrd '" + folder_ + "/i'"),
              std::string::npos);
}

} // namespace
} // namespace parapet::vmm
