// SPDX-License-Identifier: Apache-2.0
// The load of tools/bench io: direct I/O on a device or file by io_uring, so many requests in flight, as fio's engine
// of that name does it. The same program runs in the guests and on the host.
//   load FILE NAME:PATTERN:BLOCK:DEPTH...   PATTERN: randread, randwrite, read, write; BLOCK in bytes
// For each load, after a short warm-up, when the time that counts begins and ends:
//   load: begin NAME
//   load: end NAME ios <requests> ns <nanoseconds>
// Environment: LOAD_MS (2500) and LOAD_WARMUP_MS (300), for each load.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace {

std::int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void fail(const std::string& what, int error) {
    std::printf("load: failed: %s: %s\n", what.c_str(), std::strerror(error));
    std::fflush(stdout);
    std::_Exit(1);
}

std::int64_t milliseconds(const char* name, std::int64_t otherwise) {
    const char* text = std::getenv(name);
    return (text != nullptr ? std::strtoll(text, nullptr, 10) : otherwise) * 1'000'000;
}

struct Load {
    std::string name;
    bool random = false, write = false;
    std::uint32_t block = 0;
    unsigned depth = 0;
};

Load parse(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(':', begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    if (parts.size() != 4) {
        fail("'" + text + "' is not NAME:PATTERN:BLOCK:DEPTH", EINVAL);
    }
    Load load{parts[0], parts[1].starts_with("rand"), parts[1].ends_with("write"),
              static_cast<std::uint32_t>(std::strtoul(parts[2].c_str(), nullptr, 10)),
              static_cast<unsigned>(std::strtoul(parts[3].c_str(), nullptr, 10))};
    if (load.block == 0 || load.block % 512 != 0 || load.depth == 0) {
        fail("'" + text + "': block or depth", EINVAL);
    }
    return load;
}

/// A linear-feedback generator: the same order of blocks in each run.
class Random {
public:
    std::uint64_t next() {
        state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
        return state_;
    }

private:
    std::uint64_t state_ = 0x9e3779b97f4a7c15;
};

class Runner {
public:
    Runner(int fd, std::uint64_t bytes, const Load& load)
        : fd_{fd}, load_{load}, blocks_{bytes / load.block}, buffers_(load.depth) {
        if (blocks_ == 0) {
            fail("the disk is smaller than a block", ENOSPC);
        }
        if (const int error = io_uring_queue_init(load.depth, &ring_, 0); error < 0) {
            fail("io_uring_queue_init", -error);
        }
        for (void*& buffer : buffers_) {
            buffer = std::aligned_alloc(4096, (load.block + 4095) / 4096 * 4096);
            std::memset(buffer, 0x5a, load.block);
        }
    }
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    ~Runner() {
        io_uring_queue_exit(&ring_);
        for (void* buffer : buffers_) {
            std::free(buffer);
        }
    }

    void run() {
        for (unsigned slot = 0; slot < load_.depth; slot++) {
            post(slot);
        }
        const std::int64_t begin = now_ns() + milliseconds("LOAD_WARMUP_MS", 300);
        while (now_ns() < begin) {
            turn(true);
        }
        say("begin " + load_.name);
        done_ = 0;
        const std::int64_t start = now_ns(), end = start + milliseconds("LOAD_MS", 2500);
        std::int64_t now = start;
        while (now < end) {
            turn(true);
            now = now_ns();
        }
        say("end " + load_.name + " ios " + std::to_string(done_) + " ns " + std::to_string(now - start));
        while (in_flight_ > 0) {
            turn(false);
        }
    }

private:
    static void say(const std::string& what) {
        std::printf("load: %s\n", what.c_str());
        std::fflush(stdout);
    }
    void post(unsigned slot) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        const std::uint64_t block = load_.random ? random_.next() % blocks_ : next_++ % blocks_;
        if (load_.write) {
            io_uring_prep_write(sqe, fd_, buffers_[slot], load_.block, block * load_.block);
        } else {
            io_uring_prep_read(sqe, fd_, buffers_[slot], load_.block, block * load_.block);
        }
        io_uring_sqe_set_data64(sqe, slot);
        in_flight_++;
    }
    /// Submits what is posted, waits for at least one completion, takes all there are, and posts as many again.
    void turn(bool again) {
        if (const int error = io_uring_submit_and_wait(&ring_, 1); error < 0 && error != -EINTR) {
            fail("io_uring_enter", -error);
        }
        io_uring_cqe* cqe = nullptr;
        while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
            const auto slot = static_cast<unsigned>(io_uring_cqe_get_data64(cqe));
            const int result = cqe->res;
            io_uring_cqe_seen(&ring_, cqe);
            if (result != static_cast<int>(load_.block)) {
                fail("load " + load_.name, result < 0 ? -result : EIO);
            }
            in_flight_--;
            done_++;
            if (again) {
                post(slot);
            }
        }
    }

    int fd_;
    const Load& load_;
    std::uint64_t blocks_;
    std::vector<void*> buffers_;
    io_uring ring_{};
    Random random_;
    std::uint64_t next_ = 0, done_ = 0;
    unsigned in_flight_ = 0;
};

std::uint64_t size_of(int fd, const char* path) {
    struct stat status {};
    std::uint64_t bytes = 0;
    if (fstat(fd, &status) != 0 || (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) != 0)) {
        fail(path, errno);
    }
    return S_ISBLK(status.st_mode) ? bytes : static_cast<std::uint64_t>(status.st_size);
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: load FILE NAME:PATTERN:BLOCK:DEPTH...\n");
        return 2;
    }
    const int fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        fail(argv[1], errno);
    }
    const std::uint64_t bytes = size_of(fd, argv[1]);
    for (int i = 2; i < argc; i++) {
        const Load load = parse(argv[i]);
        Runner{fd, bytes, load}.run();
    }
    close(fd);
    return 0;
}
