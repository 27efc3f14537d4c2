// SPDX-License-Identifier: Apache-2.0
// Local images in formats of other hypervisors, through a qemu-nbd that the helper starts.
#include "tests/unit/nbd/rig.hpp"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

namespace {

using namespace nbd_test;

class QemuNbd : public NbdTest {
protected:
    void create(const std::string& format, const std::string& size = "64M") {
        ASSERT_EQ(run_program({"qemu-img", "create", "-q", "-f", format == "vhd" ? "vpc" : format, path("disk"), size}),
                  0);
    }
    [[nodiscard]] nbd::NbdOptions image(const std::string& format, bool read_only = false) const {
        return {"", path("disk"), format, read_only, 30s};
    }
    [[nodiscard]] std::vector<pid_t> servers() const {
        std::vector<pid_t> found;
        const auto with_disk = processes_with(path("disk"));
        for (const pid_t pid : processes_with("qemu-nbd")) {
            if (std::find(with_disk.begin(), with_disk.end(), pid) != with_disk.end()) {
                found.push_back(pid);
            }
        }
        return found;
    }
};

class QemuFormat : public QemuNbd, public testing::WithParamInterface<const char*> {};

TEST_P(QemuFormat, KeepsDataOverAReopen) {
    create(GetParam());
    const Bytes data = pattern(3 << 20, 1);
    {
        const auto opened = disk(image(GetParam()));
        EXPECT_GE(opened->target().geometry().bytes, 64U << 20);
        ASSERT_EQ(opened->write(1 << 20, data), 0);
        Request zero{Operation::write_zeroes, 2 << 20, {}, 64 << 10};
        ASSERT_EQ(opened->run(zero), 0);
        ASSERT_EQ(opened->flush(), 0);
    }
    EXPECT_TRUE(soon([&] { return processes_with(path("disk")).empty(); })); // closing waits, though not for ever
    const auto again = disk(image(GetParam()));
    EXPECT_EQ(again->read(2 << 20, 64 << 10), Bytes(64 << 10));
    Bytes expected = data;
    std::fill_n(expected.begin() + (1 << 20), 64 << 10, std::byte{});
    EXPECT_EQ(again->read(1 << 20, data.size()), expected);
}
INSTANTIATE_TEST_SUITE_P(All, QemuFormat, testing::Values("qcow2", "qcow", "qed", "vhd", "vhdx", "vmdk", "vdi"));

TEST_F(QemuNbd, DiscardFreesSpace) {
    create("qcow2");
    const auto opened = disk(image("qcow2"));
    ASSERT_EQ(opened->write(0, pattern(16 << 20, 1)), 0);
    ASSERT_EQ(opened->flush(), 0);
    Request trim{Operation::discard, 0, {}, 16 << 20};
    ASSERT_EQ(opened->run(trim), 0);
    ASSERT_EQ(opened->flush(), 0);
    struct stat status {};
    ASSERT_EQ(::stat(path("disk").c_str(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 4 << 20);
}

TEST_F(QemuNbd, KilledDuringWritesAndStartedAgain) {
    create("qcow2");
    const auto opened = disk(image("qcow2"));
    Bytes model(8 << 20);
    std::mt19937 random{5};
    for (int round = 0; round < 5; round++) {
        std::vector<std::unique_ptr<Request>> requests;
        for (std::size_t at = 0; at < model.size(); at += 256 << 10) {
            const std::uint64_t offset = at + random() % 32 * 4096;
            Bytes data = pattern((1 + random() % 32) * 4096, random());
            std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
            requests.push_back(std::make_unique<Request>(Operation::write, offset, std::move(data)));
            opened->submit(*requests.back());
        }
        for (const pid_t pid : servers()) {
            (void)::kill(pid, SIGKILL);
        }
        for (const auto& request : requests) {
            ASSERT_EQ(request->result.get(), 0);
        }
        ASSERT_EQ(opened->read(0, model.size()), model);
    }
    ASSERT_EQ(opened->flush(), 0);
    opened->close();
    EXPECT_EQ(run_program({"qemu-img", "check", "-q", "-f", "qcow2", path("disk")}) & ~3, 0); // 3: leaked clusters only
    const auto again = disk(image("qcow2"));
    EXPECT_EQ(again->read(0, model.size()), model);
}

TEST_F(QemuNbd, TheImageIsFreeWhenItIsClosed) {
    create("qcow2");
    for (int round = 0; round < 3; round++) {
        const auto opened = disk(image("qcow2"));
        EXPECT_EQ(opened->write(0, pattern(4096, 1)), 0);
        boost::asio::io_context control;
        bool closed = false;
        opened->close(control, [&] { closed = true; });
        control.run();
        EXPECT_TRUE(closed);
        EXPECT_TRUE(servers().empty());
    }
}

TEST_F(QemuNbd, AnImageIsOneDomains) {
    create("qcow2");
    {
        const auto opened = disk(image("qcow2"));
        for (const bool read_only : {false, true}) {
            const auto second = open(image("qcow2", read_only));
            ASSERT_FALSE(second.ok());
            EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
        }
    }
    const auto one = disk(image("qcow2", true)), two = disk(image("qcow2", true)); // readers share
    EXPECT_TRUE(one->target().geometry().read_only);
    EXPECT_EQ(two->write(0, pattern(512, 1)), -EROFS);
    EXPECT_EQ(two->read(0, 512), Bytes(512));
}

TEST_F(QemuNbd, AnImageThatQemuUsesIsRefused) {
    create("qcow2");
    const Program other{{"qemu-nbd", "-t", "-k", path("socket"), "-f", "qcow2", path("disk")}};
    ASSERT_TRUE(soon([&] { return std::filesystem::exists(path("socket")); }));
    const auto refused = open(image("qcow2"));
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("in use by another process"), std::string::npos) << refused.error().message;
}

TEST_F(QemuNbd, WhatIsWrongIsSaid) {
    const auto missing = open(image("qcow2"));
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.find("No such file"), std::string::npos) << missing.error().message;
    std::ofstream{path("disk")} << std::string(100000, 'x');
    const auto garbage = open(image("qcow2"));
    ASSERT_FALSE(garbage.ok());
    EXPECT_NE(garbage.error().message.find("qcow2"), std::string::npos) << garbage.error().message;
    EXPECT_NE(garbage.error().message.find(path("disk")), std::string::npos) << garbage.error().message;
}

TEST_F(QemuNbd, ImagesOfSeveralFiles) {
    ASSERT_EQ(run_program({"qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat",
                           path("disk.vmdk"), "16M"}),
              0);
    ASSERT_EQ(
        run_program({"qemu-img", "create", "-q", "-f", "qcow2", "-b", path("disk.vmdk"), "-F", "vmdk", path("top")}),
        0);
    {
        const auto opened = disk({"", path("disk.vmdk"), "vmdk", false, 30s});
        EXPECT_EQ(opened->write(4096, pattern(8192, 1)), 0);
    }
    const auto top = disk({"", path("top"), "qcow2", false, 30s});
    EXPECT_EQ(top->read(4096, 8192), pattern(8192, 1)); // from the backing file
    EXPECT_EQ(top->write(4096, pattern(4096, 2)), 0);
    EXPECT_EQ(top->read(4096, 4096), pattern(4096, 2));
}

TEST_F(QemuNbd, LeavesNothingInTheTemporaryFolder) {
    create("qcow2");
    ASSERT_EQ(::setenv("TMPDIR", path("").c_str(), 1), 0);
    const auto opened = disk(image("qcow2"));
    (void)::unsetenv("TMPDIR");
    const std::filesystem::directory_iterator files{path("")};
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

} // namespace
