// SPDX-License-Identifier: Apache-2.0
// Opening images: what is refused, with which sentence, and the locks.
#include "backends/disk/image_file.hpp"

#include "backends/disk/image_format.hpp"
#include "tests/unit/disk/temporary_image.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace parapet::disk_test {
namespace {

disk::DiskSpec spec_of(const std::string& path, bool read_only = false) {
    disk::DiskSpec spec;
    spec.target = path;
    spec.read_only = read_only;
    return spec;
}

void expect_refused(const disk::DiskSpec& spec, const char* part) {
    const auto image = disk::open_image(spec);
    ASSERT_FALSE(image.ok()) << part;
    EXPECT_NE(image.error().message.find(part), std::string::npos) << image.error().message;
    EXPECT_NE(image.error().message.find(spec.target), std::string::npos);
}

TEST(ImageFile, OpensAndMeasures) {
    const TemporaryImage file{1 << 20};
    const auto image = disk::open_image(spec_of(file.path));
    ASSERT_TRUE(image.ok()) << image.error().message;
    EXPECT_EQ(image->geometry.bytes, std::uint64_t{1 << 20});
    EXPECT_EQ(image->geometry.logical_block, 512u);
    EXPECT_FALSE(image->block_device);
    EXPECT_EQ((::fcntl(image->main.get(), F_GETFL) & O_DIRECT) != 0, image->direct);
    EXPECT_TRUE((::fcntl(image->main.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST(ImageFile, FallsBackWhereThereIsNoDirectIo) {
    const TemporaryImage file{1 << 16, "/dev/shm"};
    const auto image = disk::open_image(spec_of(file.path));
    ASSERT_TRUE(image.ok()) << image.error().message;
    if (!image->direct) {
        EXPECT_NE(image->note.find("direct I/O"), std::string::npos);
        EXPECT_EQ(::fcntl(image->main.get(), F_GETFL) & O_DIRECT, 0);
    }
}

TEST(ImageFile, RefusesWhatCannotBeADisk) {
    expect_refused(spec_of("/nonexistent/x.img"), "no such file");
    expect_refused(spec_of("/tmp"), "neither a regular file nor a block device");
    expect_refused(spec_of("/dev/null"), "neither");
    const TemporaryImage empty{0}, small{4095};
    expect_refused(spec_of(empty.path), "smaller");
    expect_refused(spec_of(small.path), "smaller");
    const TemporaryImage odd{(1 << 16) + 100};
    const auto image = disk::open_image(spec_of(odd.path));
    ASSERT_TRUE(image.ok());
    EXPECT_EQ(image->geometry.bytes, std::uint64_t{1 << 16});
    EXPECT_NE(image->note.find("left out"), std::string::npos);
}

TEST(ImageFile, RefusesAFileThatMayNotBeWritten) {
    if (::geteuid() == 0) {
        GTEST_SKIP() << "root may";
    }
    const TemporaryImage file{1 << 16};
    ::chmod(file.path.c_str(), 0444);
    expect_refused(spec_of(file.path), "access=ro");
    EXPECT_TRUE(disk::open_image(spec_of(file.path, true)).ok());
}

TEST(ImageFile, OneWriterOrManyReaders) {
    const TemporaryImage file{1 << 16};
    {
        const auto writer = disk::open_image(spec_of(file.path));
        ASSERT_TRUE(writer.ok());
        expect_refused(spec_of(file.path), "in use by another domain");
        expect_refused(spec_of(file.path, true), "in use by another domain");
    }
    const auto reader = disk::open_image(spec_of(file.path, true));
    ASSERT_TRUE(reader.ok()) << reader.error().message;
    EXPECT_TRUE(disk::open_image(spec_of(file.path, true)).ok());
    expect_refused(spec_of(file.path), "in use by another domain");
}

/// A child that has the image open and is told to wait.
pid_t child_with(const std::string& path, int socket) {
    const pid_t child = ::fork();
    if (child == 0) {
        const auto image = disk::open_image(spec_of(path));
        const char answer = image.ok() ? 'y' : 'n';
        (void)!::write(socket, &answer, 1);
        ::pause();
        ::_exit(0);
    }
    return child;
}

TEST(ImageFile, AnotherProcessIsLockedOutUntilItsKillerComes) {
    const TemporaryImage file{1 << 16};
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const pid_t child = child_with(file.path, pair[1]);
    char answer = 0;
    ASSERT_EQ(::read(pair[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    expect_refused(spec_of(file.path), "in use by another domain");
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(disk::open_image(spec_of(file.path)).ok());
    ::close(pair[0]);
    ::close(pair[1]);
}

struct Signature {
    disk::Format format;
    std::size_t at;
    std::string bytes;
};

class Signatures : public testing::TestWithParam<Signature> {};

TEST_P(Signatures, AreNotServedAsRawUnasked) {
    std::vector<char> data(1 << 16);
    std::copy(GetParam().bytes.begin(), GetParam().bytes.end(), data.begin() + static_cast<long>(GetParam().at));
    const TemporaryImage file{0};
    file.write(data);
    expect_refused(spec_of(file.path), disk::format_name(GetParam().format));
    auto spec = spec_of(file.path);
    spec.format = disk::Format::raw;
    EXPECT_TRUE(disk::open_image(spec).ok()) << "asked for";
}

using namespace std::string_literals;
INSTANTIATE_TEST_SUITE_P(Known, Signatures,
                         testing::Values(Signature{disk::Format::qcow2, 0, "QFI\xfb\0\0\0\3"s},
                                         Signature{disk::Format::qcow, 0, "QFI\xfb\0\0\0\1"s},
                                         Signature{disk::Format::qed, 0, "QED\0"s},
                                         Signature{disk::Format::vhd, 0, "conectix"},
                                         Signature{disk::Format::vhd, (1 << 16) - 512, "conectix"},
                                         Signature{disk::Format::vhdx, 0, "vhdxfile"},
                                         Signature{disk::Format::vmdk, 0, "KDMV"},
                                         Signature{disk::Format::vmdk, 0, "# Disk DescriptorFile"},
                                         Signature{disk::Format::vdi, 0x40, "\x7f\x10\xda\xbe"}));

TEST(ImageFile, TakesOverOnlyWhatFits) {
    const TemporaryImage file{1 << 16}, other{1 << 16};
    const auto open = [](const std::string& path, int flags) { return UniqueFd{::open(path.c_str(), flags)}; };
    EXPECT_FALSE(disk::adopt_image("x", UniqueFd{}, UniqueFd{}).ok());
    EXPECT_FALSE(disk::adopt_image("x", open(file.path, O_WRONLY), UniqueFd{}).ok());
    EXPECT_FALSE(disk::adopt_image("x", open(file.path, O_PATH), UniqueFd{}).ok());
    EXPECT_FALSE(disk::adopt_image("x", open("/dev/null", O_RDWR), UniqueFd{}).ok());
    auto direct = open(file.path, O_RDWR | O_DIRECT);
    if (direct.valid()) {
        EXPECT_FALSE(disk::adopt_image("x", open(file.path, O_RDWR | O_DIRECT), UniqueFd{}).ok());
        EXPECT_FALSE(disk::adopt_image("x", open(file.path, O_RDWR | O_DIRECT), open(other.path, O_RDWR)).ok());
        EXPECT_FALSE(disk::adopt_image("x", open(file.path, O_RDWR | O_DIRECT), open(file.path, O_RDONLY)).ok());
        EXPECT_TRUE(disk::adopt_image("x", std::move(direct), open(file.path, O_RDWR)).ok());
    }
    const auto read_only = disk::adopt_image("x", open(file.path, O_RDONLY), UniqueFd{});
    ASSERT_TRUE(read_only.ok());
    EXPECT_TRUE(read_only->geometry.read_only);
}

} // namespace
} // namespace parapet::disk_test
