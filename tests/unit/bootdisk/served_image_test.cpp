// SPDX-License-Identifier: Apache-2.0
// A sparse file that is filled before each read: by a server of the test's, which counts what it is asked.
#include "vmm/bootdisk/served_image.hpp"

#include "backends/nbd/protocol.hpp"
#include "support/unique_fd.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace parapet::bootdisk {
namespace {

constexpr std::uint64_t chunk = nbd::slot_bytes;

class ServedImages : public testing::Test {
protected:
    explicit ServedImages(std::uint64_t bytes = 3 * chunk + 512) : bytes_{bytes} {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
        ours_ = UniqueFd{ends[0]};
        theirs_ = UniqueFd{ends[1]};
        memory_ = UniqueFd{memfd_create("memory", 0)};
        file_ = UniqueFd{memfd_create("file", 0)};
        EXPECT_EQ(ftruncate(memory_.get(), nbd::memory_bytes), 0);
        EXPECT_EQ(ftruncate(file_.get(), static_cast<off_t>(bytes_)), 0);
        server_ = std::thread{[this] { serve(); }};
    }
    ~ServedImages() override {
        shutdown(ours_.get(), SHUT_RDWR);
        server_.join();
    }

    [[nodiscard]] ServedDisk disk(std::uint32_t max_read = nbd::slot_bytes) const {
        return {{ours_.get(), memory_.get(), file_.get()}, bytes_, max_read};
    }
    /// The bytes are what their place makes them.
    static char byte_at(std::uint64_t offset) { return static_cast<char>(offset / 512 * 7 + offset % 251); }
    [[nodiscard]] bool is_there(std::uint64_t offset, std::size_t length) const {
        std::string text(length, '\0');
        EXPECT_EQ(pread(file_.get(), text.data(), length, static_cast<off_t>(offset)), static_cast<ssize_t>(length));
        for (std::size_t i = 0; i < length; i++) {
            if (text[i] != byte_at(offset + i)) {
                return false;
            }
        }
        return true;
    }

    std::uint64_t bytes_;
    UniqueFd ours_, theirs_, memory_, file_;
    std::atomic<unsigned> asked_ = 0;
    std::atomic<int> result_ = 0;
    std::atomic<bool> lies_ = false, tells_ = false;

private:
    void serve() {
        nbd::RequestMessage message;
        while (recv(theirs_.get(), &message, sizeof message, 0) > 0) {
            asked_++;
            const nbd::WireRequest request = message.entries[0];
            std::string data;
            for (std::uint32_t i = 0; i < request.length; i++) {
                data.push_back(byte_at(request.offset + i));
            }
            EXPECT_LE(request.offset + request.length, bytes_);
            EXPECT_EQ(pwrite(memory_.get(), data.data(), data.size(), off_t{request.slot} * nbd::slot_bytes),
                      static_cast<ssize_t>(data.size()));
            if (tells_) {
                const nbd::Event event{{nbd::Kind::event, 0}, nbd::Happening::lost, 0};
                EXPECT_EQ(send(theirs_.get(), &event, sizeof event, 0), static_cast<ssize_t>(sizeof event));
            }
            nbd::CompletionMessage answer;
            answer.header.count = 1;
            answer.entries[0] = {static_cast<std::uint16_t>(lies_ ? 9 : request.slot), 0, result_};
            EXPECT_GT(send(theirs_.get(), &answer, nbd::message_bytes<nbd::CompletionMessage>(1), 0), 0);
        }
    }

    std::thread server_;
};

TEST_F(ServedImages, OnlyWhatIsWantedAndOnce) {
    auto image = ServedImage::open(disk());
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_TRUE(image->provide(chunk + 5, 10));
    EXPECT_TRUE(is_there(chunk, chunk));
    EXPECT_FALSE(is_there(2 * chunk, 512));
    EXPECT_EQ(asked_, 1U);
    EXPECT_TRUE(image->provide(chunk, chunk));
    EXPECT_EQ(asked_, 1U);
    EXPECT_TRUE(image->provide(chunk - 1, 2));
    EXPECT_EQ(asked_, 2U);
    EXPECT_TRUE(is_there(0, 2 * chunk));
    EXPECT_TRUE(image->provide(3 * chunk, 1 << 20)) << "beyond the end there is nothing to provide";
    EXPECT_TRUE(is_there(3 * chunk, 512));
    EXPECT_TRUE(image->provide(bytes_, 1));
    EXPECT_TRUE(image->provide(~0ULL, ~0ULL));
    EXPECT_EQ(asked_, 3U);
}

TEST_F(ServedImages, SmallReads) {
    auto image = ServedImage::open(disk(4096 + 100));
    ASSERT_TRUE(image);
    tells_ = true; // that the server is away does not matter if the answer comes
    EXPECT_TRUE(image->provide(0, 1));
    EXPECT_EQ(asked_, chunk / 4096);
    EXPECT_TRUE(is_there(0, chunk));
    EXPECT_FALSE(ServedImage::open(disk(2048)));
}

TEST_F(ServedImages, ErrorsAndNonsense) {
    auto image = ServedImage::open(disk());
    ASSERT_TRUE(image);
    result_ = -EIO;
    EXPECT_FALSE(image->provide(0, 1));
    result_ = 0;
    lies_ = true;
    EXPECT_FALSE(image->provide(0, 1));
    lies_ = false;
    EXPECT_TRUE(image->provide(0, 1)) << "asked again";
    shutdown(ours_.get(), SHUT_RDWR);
    EXPECT_FALSE(image->provide(chunk, 1));
}

/// Reads of another process, of whatever kind, find the data there.
TEST_F(ServedImages, WatchedProcess) {
    auto image = ServedImage::open(disk());
    ASSERT_TRUE(image);
    const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        const int listener = watch_own_reads();
        (void)!write(pipe_ends[1], &listener, sizeof listener); // the parent takes it by its number
        const int fd = open(path.c_str(), O_RDONLY);
        char bytes[600];
        bool good = pread(fd, bytes, 4, chunk + 1) == 4 && bytes[3] == byte_at(chunk + 4);
        good = good && lseek(fd, 100, SEEK_SET) == 100 && read(fd, bytes, 600) == 600 && bytes[599] == byte_at(699) &&
               read(fd, bytes, 2) == 2 && bytes[1] == byte_at(701);
        close(fd);
        const int again = open(path.c_str(), O_RDONLY);
        good = good && read(again, bytes, 1) == 1 && bytes[0] == byte_at(0);
        _exit(good && again == fd ? 0 : 1);
    }
    int number = -1;
    ASSERT_EQ(read(pipe_ends[0], &number, sizeof number), static_cast<ssize_t>(sizeof number));
    if (number < 0) {
        GTEST_SKIP() << "this kernel does not let reads be watched";
    }
    const UniqueFd process{static_cast<int>(syscall(SYS_pidfd_open, child, 0))};
    const UniqueFd listener{static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0))};
    ASSERT_TRUE(listener.valid()) << std::strerror(errno);
    ReadWatch watch{listener.get(), *image};
    pollfd watched[2] = {{process.get(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
    while (poll(watched, 2, 20000) > 0 && watched[0].revents == 0) {
        if ((watched[1].revents & POLLIN) != 0) {
            watch.serve();
        }
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(asked_, 2U);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

} // namespace
} // namespace parapet::bootdisk
