// SPDX-License-Identifier: Apache-2.0
// Reading files and memory, and copying them to pages.
#include "vmm/image/byte_source.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/image/zero.hpp"

namespace parapet::image {
namespace {

/// Pages per preadv call.
constexpr size_t batch = 256;

class FileSource final : public ByteSource {
public:
    FileSource(int fd, const struct stat& info) : fd_{fd}, info_{info} {}
    ~FileSource() override { close(fd_); }

    [[nodiscard]] uint64_t size() const override { return static_cast<uint64_t>(info_.st_size); }
    [[nodiscard]] const struct stat* info() const override { return &info_; }
    [[nodiscard]] int descriptor() const override { return fd_; }
    [[nodiscard]] bool sealed() const override {
        constexpr int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
        const int seals = fcntl(fd_, F_GET_SEALS);
        return seals >= 0 && (seals & all) == all;
    }

    [[nodiscard]] bool scatter(uint64_t offset, std::span<const std::span<std::byte>> pieces) const override {
        std::array<iovec, batch> vectors;
        while (!pieces.empty()) {
            const size_t count = std::min(batch, pieces.size());
            for (size_t i = 0; i < count; ++i)
                vectors[i] = {pieces[i].data(), pieces[i].size()};
            if (!read_fully(std::span{vectors}.first(count), offset))
                return false;
            pieces = pieces.subspan(count);
        }
        return true;
    }

private:
    /// Advances `offset`.
    bool read_fully(std::span<iovec> vectors, uint64_t& offset) const {
        while (!vectors.empty()) {
            const ssize_t got =
                preadv(fd_, vectors.data(), static_cast<int>(vectors.size()), static_cast<off_t>(offset));
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return false;
            offset += static_cast<uint64_t>(got);
            size_t left = static_cast<size_t>(got);
            while (!vectors.empty() && left >= vectors.front().iov_len) {
                left -= vectors.front().iov_len;
                vectors = vectors.subspan(1);
            }
            if (left > 0) {
                vectors.front().iov_base = static_cast<char*>(vectors.front().iov_base) + left;
                vectors.front().iov_len -= left;
            }
        }
        return true;
    }

    int fd_;
    struct stat info_;
};

std::string kind_of(mode_t mode) {
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a pipe";
    return S_ISSOCK(mode) ? "a socket" : "a device";
}

} // namespace

bool MemorySource::scatter(uint64_t offset, std::span<const std::span<std::byte>> pieces) const {
    for (const auto& piece : pieces) {
        if (offset > bytes_.size() || piece.size() > bytes_.size() - offset)
            return false;
        if (!piece.empty())
            std::memcpy(piece.data(), bytes_.data() + offset, piece.size());
        offset += piece.size();
    }
    return true;
}

Result<std::shared_ptr<const ByteSource>> load_file(const std::string& path, const std::string& what) {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const std::string remedy = errno == ENOENT || errno == ENOTDIR ? "check the path"
                                   : errno == EACCES                   ? "make it readable for you"
                                                                       : "check that it can be read";
        return Error{"cannot open " + what + " '" + path + "': " + std::strerror(errno) + "; " + remedy};
    }
    struct stat info {};
    const bool known = fstat(fd, &info) == 0;
    auto source = std::make_shared<const FileSource>(fd, info);
    if (!known)
        return Error{"cannot read " + what + " '" + path + "': " + std::strerror(errno) + "; check the file system"};
    if (!S_ISREG(info.st_mode))
        return Error{what + " '" + path + "' is " + kind_of(info.st_mode) + "; give a regular file"};
    if (info.st_size == 0)
        return Error{what + " '" + path + "' is empty; copy or download it again"};
    return std::shared_ptr<const ByteSource>{std::move(source)};
}

CopyOutcome copy_to_pages(const ByteSource& source, uint64_t offset, uint64_t length, PageSink& sink, uint64_t target) {
    if (offset > source.size() || length > source.size() - offset)
        return CopyOutcome::unreadable;
    const std::span<const std::byte> memory = source.bytes();
    std::vector<std::span<std::byte>> pieces;
    uint64_t pieces_offset = offset;
    while (length > 0) {
        const uint64_t within = target % page_size;
        const uint64_t part = std::min(length, page_size - within);
        if (memory.empty() || !all_zero(memory.subspan(offset, part))) {
            std::byte* page = sink.page(target / page_size);
            if (page == nullptr)
                return CopyOutcome::no_such_page;
            if (memory.empty())
                pieces.emplace_back(page + within, part);
            else
                std::memcpy(page + within, memory.data() + offset, part);
        }
        offset += part;
        target += part;
        length -= part;
        if (pieces.size() == batch || (length == 0 && !pieces.empty())) {
            if (!source.scatter(pieces_offset, pieces))
                return CopyOutcome::unreadable;
            pieces.clear();
            pieces_offset = offset;
        }
    }
    return CopyOutcome::done;
}

} // namespace parapet::image
