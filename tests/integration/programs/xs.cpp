// SPDX-License-Identifier: Apache-2.0
// A small xenstore client for the guests of the integration tests: `xs read PATH`, `xs write PATH VALUE`, `xs ls PATH`,
// `xs rm PATH`, over /dev/xen/xenbus.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace {

struct Header {
    std::uint32_t type, request, transaction, length;
};
enum : std::uint32_t { op_directory = 1, op_read = 2, op_write = 11, op_rm = 13, op_error = 16 };

bool read_all(int fd, void* to, std::size_t size) {
    auto* bytes = static_cast<char*>(to);
    while (size > 0) {
        const ssize_t count = ::read(fd, bytes, size);
        if (count <= 0) {
            return false;
        }
        bytes += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

} // namespace

int main(int argc, char** argv) {
    const std::string verb = argc > 2 ? argv[1] : "";
    Header header{0, 7, 0, 0};
    std::string payload{argc > 2 ? argv[2] : ""};
    payload.push_back('\0');
    if (verb == "read" && argc == 3) {
        header.type = op_read;
    } else if (verb == "ls" && argc == 3) {
        header.type = op_directory;
    } else if (verb == "rm" && argc == 3) {
        header.type = op_rm;
    } else if (verb == "write" && argc == 4) {
        header.type = op_write;
        payload += argv[3];
    } else {
        std::fputs("usage: xs read|ls|rm PATH, xs write PATH VALUE\n", stderr);
        return 2;
    }
    header.length = static_cast<std::uint32_t>(payload.size());
    const int fd = ::open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        std::perror("xs: /dev/xen/xenbus");
        return 1;
    }
    std::string message(sizeof(header), '\0');
    std::memcpy(message.data(), &header, sizeof(header));
    message += payload;
    if (::write(fd, message.data(), message.size()) != static_cast<ssize_t>(message.size()) ||
        !read_all(fd, &header, sizeof(header)) || header.length > 4096) {
        std::perror("xs: the store does not answer");
        return 1;
    }
    std::string answer(header.length, '\0');
    if (!read_all(fd, answer.data(), answer.size())) {
        std::perror("xs: the answer is cut off");
        return 1;
    }
    if (header.type == op_error) {
        std::fprintf(stderr, "xs: %s %s: %s\n", verb.c_str(), argv[2], answer.c_str());
        return 1;
    }
    if (verb == "read" || verb == "ls") {
        for (char& byte : answer) {
            byte = byte == '\0' ? '\n' : byte;
        }
        std::printf("%s\n", answer.c_str());
    }
    return 0;
}
