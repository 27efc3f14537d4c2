// SPDX-License-Identifier: Apache-2.0
// Guest's part of durability.py: writes numbered records, makes each durable and only then says so: "durable KIND N".
//   durable files FOLDER   a new file per record (fsync of it and of the folder), every third into one log (fdatasync)
//   durable raw DEVICE     O_DIRECT and fdatasync, without a file system, round and round the device
// Record N of KIND is lines of 64 bytes, "KIND N LINE" and dots; durability.py knows the same.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr std::size_t line_size = 64;
constexpr std::size_t slot_size = 16384;
constexpr long slots = 512;
constexpr long most_files = 6000;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::puts("durable: failed");
    std::fflush(stdout);
    std::exit(1);
}

void fill(char* data, std::size_t size, const char* kind, long number) {
    for (std::size_t at = 0; at < size; at += line_size) {
        std::memset(data + at, '.', line_size);
        const int length = std::snprintf(data + at, line_size, "%s %08ld %04zu", kind, number, at / line_size);
        data[at + static_cast<std::size_t>(length)] = '.';
        data[at + line_size - 1] = '\n';
    }
}

std::size_t size_of(long number) {
    return static_cast<std::size_t>(1 + number * 7 % 32) * 512;
}

void write_all(int fd, const char* data, std::size_t size, off_t offset) {
    if (pwrite(fd, data, size, offset) != static_cast<ssize_t>(size))
        fail("write");
}

// One write, so that a line is whole or missing.
void say(const char* kind, long number) {
    std::printf("durable %s %ld\n", kind, number);
    std::fflush(stdout);
}

void files(const char* folder, char* data) {
    const int directory = open(folder, O_RDONLY | O_DIRECTORY);
    const int log = openat(directory, "log", O_WRONLY | O_CREAT, 0600);
    if (log < 0 || fsync(directory) != 0)
        fail("log");
    for (long number = 0; number < most_files; ++number) {
        fill(data, slot_size, "files", number);
        const std::size_t size = size_of(number);
        if (number % 3 == 2) {
            write_all(log, data, 4096, number / 3 * 4096);
            if (fdatasync(log) != 0)
                fail("fdatasync");
        } else {
            const std::string name = "f" + std::to_string(number);
            const int file = openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
            if (file < 0)
                fail("open");
            write_all(file, data, size, 0);
            if (fsync(file) != 0 || fsync(directory) != 0)
                fail("fsync");
            close(file);
        }
        say("files", number);
    }
    std::puts("durable: files: enough");
    std::fflush(stdout);
}

void raw(const char* device, char* data) {
    const int fd = open(device, O_WRONLY | O_DIRECT);
    if (fd < 0)
        fail(device);
    for (long number = 0;; ++number) {
        fill(data, slot_size, "raw", number);
        write_all(fd, data, size_of(number), number % slots * static_cast<off_t>(slot_size));
        if (fdatasync(fd) != 0)
            fail("fdatasync");
        say("raw", number);
    }
}

} // namespace

int main(int argc, char** argv) {
    char* data = static_cast<char*>(std::aligned_alloc(4096, slot_size));
    if (argc != 3 || data == nullptr)
        return 2;
    if (std::strcmp(argv[1], "files") == 0)
        files(argv[2], data);
    else
        raw(argv[2], data);
    return 0;
}
