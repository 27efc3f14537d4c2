// SPDX-License-Identifier: Apache-2.0
// A file of known bytes that goes with the test.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace parapet::disk_test {

class TemporaryImage {
public:
    explicit TemporaryImage(std::size_t bytes, const std::string& folder = "/var/tmp") {
        path = folder + "/parapet-disk-XXXXXX";
        const int fd = ::mkstemp(path.data());
        if (fd < 0) {
            throw std::runtime_error{"no temporary file in " + folder};
        }
        ::close(fd);
        std::vector<char> data(bytes);
        for (std::size_t at = 0; at < bytes; ++at) {
            data[at] = byte_at(at);
        }
        write(data);
    }
    ~TemporaryImage() { ::unlink(path.c_str()); }
    TemporaryImage(const TemporaryImage&) = delete;
    TemporaryImage& operator=(const TemporaryImage&) = delete;

    static char byte_at(std::size_t at) { return static_cast<char>(at / 512 * 3 + at + 1); }
    void write(const std::vector<char>& data) const {
        std::ofstream file{path, std::ios::binary | std::ios::trunc};
        file.write(data.data(), static_cast<std::streamsize>(data.size()));
    }
    [[nodiscard]] std::vector<char> contents() const {
        std::ifstream file{path, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    /// Bytes of storage that the file takes.
    [[nodiscard]] std::int64_t allocated() const {
        struct stat status {};
        ::stat(path.c_str(), &status);
        return std::int64_t{status.st_blocks} * 512;
    }
    std::string path;
};

} // namespace parapet::disk_test
