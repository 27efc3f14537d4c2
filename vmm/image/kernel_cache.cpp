// SPDX-License-Identifier: Apache-2.0
// The cache of decompressed kernels. An entry is a page with a Header, then the bytes.
#include "vmm/image/kernel_cache.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm/image/byte_source.hpp"
#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view entry_suffix = ".elf";
constexpr std::string_view temporary_mark = ".tmp.";
constexpr size_t header_room = 4096;

struct Header {
    std::array<char, 8> magic{'P', 'A', 'R', 'A', 'K', 'R', 'N', '1'};
    uint64_t size = 0;
    uint64_t checksum = 0;
};

class Fd {
public:
    explicit Fd(int fd) : fd_{fd} {}
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() {
        if (fd_ >= 0)
            close(fd_);
    }
    [[nodiscard]] int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_;
};

/// Private to this user: nobody else may plant a kernel in it.
bool is_private_directory(const std::string& path) {
    struct stat info {};
    return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
           (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool make_directory(const std::string& path) {
    std::error_code failure;
    const fs::path parent = fs::path{path}.parent_path();
    fs::create_directories(parent, failure);
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return false;
    return is_private_directory(path);
}

bool write_fully(int fd, std::span<const std::byte> bytes, off_t at) {
    while (!bytes.empty()) {
        const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return true;
}

std::string nanoseconds(const timespec& time) {
    return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

struct Entry {
    fs::path path;
    uint64_t size;
    fs::file_time_type used;
    bool temporary;
};

std::vector<Entry> entries_of(const std::string& directory) {
    std::vector<Entry> entries;
    std::error_code failure;
    for (fs::directory_iterator it{directory, failure}, end; !failure && it != end; it.increment(failure)) {
        const std::string name = it->path().filename().string();
        const bool temporary = name.find(temporary_mark) != std::string::npos;
        if (!temporary && !name.ends_with(entry_suffix))
            continue;
        std::error_code gone;
        const uint64_t size = it->file_size(gone);
        const auto used = it->last_write_time(gone);
        if (!gone)
            entries.push_back({it->path(), size, used, temporary});
    }
    return entries;
}

} // namespace

KernelCache::KernelCache(std::string directory, uint64_t max_bytes)
    : directory_{std::move(directory)}, max_bytes_{max_bytes} {}

std::optional<KernelCache> KernelCache::from_environment() {
    const auto variable = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string{value == nullptr ? "" : value};
    };
    if (variable("PARAPET_KERNEL_CACHE") == "off")
        return std::nullopt;
    if (const std::string cache = variable("XDG_CACHE_HOME"); cache.starts_with('/'))
        return KernelCache{cache + "/parapet/kernels"};
    if (const std::string home = variable("HOME"); home.starts_with('/'))
        return KernelCache{home + "/.cache/parapet/kernels"};
    return std::nullopt;
}

std::string KernelCache::key_of(const std::string& path, const struct stat& info) const {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    // A file that was just written may change again without a change of its times.
    constexpr time_t settled = 2;
    if (std::max(info.st_mtim.tv_sec, info.st_ctim.tv_sec) > now.tv_sec - settled)
        return {};
    std::error_code failure;
    const std::string real = fs::canonical(path, failure).string();
    if (failure)
        return {};
    const std::string identity = real + '\0' + std::to_string(info.st_ino) + '\0' + std::to_string(info.st_size) +
                                 '\0' + nanoseconds(info.st_mtim) + '\0' + nanoseconds(info.st_ctim);
    const XXH128_hash_t hash = XXH3_128bits(identity.data(), identity.size());
    return hex(hash.high64).substr(2) + "-" + hex(hash.low64).substr(2);
}

std::shared_ptr<const ByteSource> KernelCache::find(const std::string& key) const {
    if (!is_private_directory(directory_))
        return nullptr;
    const std::string path = directory_ + "/" + key + std::string{entry_suffix};
    const Fd fd{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
        return nullptr;
    Header header;
    const Header expected;
    // Entries are only ever replaced or unlinked, never shortened: mapping one is safe.
    if (pread(fd.get(), &header, sizeof header, 0) == sizeof header && header.magic == expected.magic &&
        static_cast<uint64_t>(info.st_size) > header_room &&
        header.size == static_cast<uint64_t>(info.st_size) - header_room) {
        auto mapping = Mapping::of_file(fd.get(), static_cast<uint64_t>(info.st_size));
        if (mapping) {
            const auto bytes = mapping->bytes().subspan(header_room);
            if (XXH64(bytes.data(), bytes.size(), 0) == header.checksum) {
                futimens(fd.get(), nullptr); // for evict(): used just now
                return std::make_shared<const MemorySource>(*std::move(mapping), header_room);
            }
        }
    }
    unlink(path.c_str());
    return nullptr;
}

bool KernelCache::store(const std::string& key, std::span<const std::byte> bytes) const {
    if (bytes.empty() || bytes.size() + header_room > max_bytes_ || !make_directory(directory_))
        return false;
    evict(bytes.size() + header_room);
    const std::string path = directory_ + "/" + key + std::string{entry_suffix};
    std::string temporary = path + std::string{temporary_mark} + "XXXXXX";
    const Fd fd{mkostemp(temporary.data(), O_CLOEXEC)};
    if (!fd)
        return false;
    Header header;
    header.size = bytes.size();
    header.checksum = XXH64(bytes.data(), bytes.size(), 0);
    // No fsync: after a crash of the host the checksum tells.
    if (write_fully(fd.get(), bytes, header_room) && write_fully(fd.get(), std::as_bytes(std::span{&header, 1}), 0) &&
        rename(temporary.c_str(), path.c_str()) == 0)
        return true;
    unlink(temporary.c_str());
    return false;
}

void KernelCache::evict(uint64_t room) const {
    std::vector<Entry> entries = entries_of(directory_);
    std::ranges::sort(entries, {}, &Entry::used);
    const auto abandoned = fs::file_time_type::clock::now() - std::chrono::hours{1};
    uint64_t total = room;
    for (const Entry& entry : entries)
        total += entry.size;
    std::error_code failure;
    for (const Entry& entry : entries) {
        // Another process may be writing a fresh temporary file.
        const bool drop = entry.temporary ? entry.used < abandoned : total > max_bytes_;
        if (drop && fs::remove(entry.path, failure))
            total -= std::min(total, entry.size);
    }
}

} // namespace parapet::image
