// SPDX-License-Identifier: Apache-2.0
// Small operations of a Linux process, timed: what tools/bench host compares between guest and host.
//   micro [NAME]...   one line each:  micro: <name> <nanoseconds per operation> best <that of the best batch>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr std::size_t page = 4096;

std::int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Stops the benchmark: the guest's or host's kernel refused what every Linux can do.
void need(bool worked, const char* what) {
    if (!worked) {
        std::perror(what);
        std::_Exit(1);
    }
}

void getppid_loop(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) {
        syscall(SYS_getppid); // past any caching
    }
}

void fork_exit_wait(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) {
        const pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        int status = -1;
        need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "fork");
    }
}

void fork_exec_wait(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) {
        const pid_t child = fork();
        if (child == 0) {
            execl("/proc/self/exe", "micro", "nothing", nullptr);
            _exit(1);
        }
        int status = -1;
        need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "exec");
    }
}

/// First touch of anonymous pages, one fault each; mapping and unmapping is part of it.
void page_touch(std::uint64_t count) {
    const std::size_t bytes = count * page;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (std::size_t at = 0; at < bytes; at += page) {
        static_cast<volatile char*>(memory)[at] = 1;
    }
    munmap(memory, bytes);
}

/// A byte to another process and back: two context switches, on one CPU.
void pipe_round_trip(std::uint64_t count) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    cpu_set_t all;
    sched_getaffinity(0, sizeof(all), &all);
    sched_setaffinity(0, sizeof(one), &one);
    int there[2], back[2];
    need(pipe(there) == 0 && pipe(back) == 0, "pipe");
    const pid_t child = fork();
    need(child >= 0, "fork");
    char byte = 0;
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
        }
        _exit(0);
    }
    for (std::uint64_t i = 0; i < count; i++) {
        need(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
    }
    for (const int fd : {there[0], there[1], back[0], back[1]}) {
        close(fd);
    }
    waitpid(child, nullptr, 0);
    sched_setaffinity(0, sizeof(all), &all);
}

/// Integer and floating-point arithmetic over a table of 64 KiB; no system call, hardly a page fault.
void compute(std::uint64_t count) {
    static std::uint64_t table[8192];
    std::uint64_t x = 88172645463325252ULL;
    double sum = 0;
    for (std::uint64_t i = 0; i < count; i++) {
        for (int round = 0; round < 1'000'000; round++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            std::uint64_t& slot = table[x & 8191];
            slot += x;
            sum += static_cast<double>(slot >> 40) * 1e-9;
        }
    }
    volatile double keep = sum;
    (void)keep;
}

struct Operation {
    const char* name;
    void (*run)(std::uint64_t count);
    std::uint64_t most; ///< operations in one timed batch
};

constexpr Operation operations[] = {
    {"getppid", getppid_loop, 1 << 24},
    {"fork_exit_wait", fork_exit_wait, 1 << 14},
    {"fork_exec_wait", fork_exec_wait, 1 << 14},
    {"page_touch", page_touch, 4096},
    {"pipe_round_trip", pipe_round_trip, 1 << 20},
    {"compute", compute, 1 << 10},
};

/// The median of five batches, each sized to take about a fifth of a second.
void measure(const Operation& operation) {
    constexpr std::int64_t target_ns = 200'000'000;
    constexpr int batches = 5;
    std::uint64_t count = 1;
    for (;;) {
        const std::int64_t begin = now_ns();
        operation.run(count);
        const std::int64_t took = now_ns() - begin;
        if (took * 4 >= target_ns || count >= operation.most) {
            const double wanted =
                static_cast<double>(count) * target_ns / static_cast<double>(std::max<std::int64_t>(took, 1));
            count = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, operation.most);
            break;
        }
        count *= 2;
    }
    double each[batches];
    for (double& ns : each) {
        const std::int64_t begin = now_ns();
        operation.run(count);
        ns = static_cast<double>(now_ns() - begin) / static_cast<double>(count);
    }
    std::sort(each, each + batches);
    std::printf("micro: %s %.1f best %.1f\n", operation.name, each[batches / 2], each[0]);
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "nothing") == 0) {
        return 0;
    }
    for (const Operation& operation : operations) {
        const auto named = [&](const char* name) { return std::strcmp(name, operation.name) == 0; };
        if (argc < 2 || std::any_of(argv + 1, argv + argc, named)) {
            measure(operation);
        }
    }
    return 0;
}
