// SPDX-License-Identifier: Apache-2.0
// The folder of decompressed kernels: finding, adding and dropping entries.
#include "vmm/image/kernel_cache.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sha256.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "vmm/image/byte_source.hpp"
#include "vmm/image/cache_entry.hpp"
#include "vmm/image/text.hpp"

namespace parapet::image {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view entry_suffix = ".elf";
constexpr std::string_view temporary_mark = ".tmp.";
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

std::string nanoseconds(const timespec& time) {
    return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

struct Entry {
    fs::path path;
    uint64_t size;
    fs::file_time_type written;
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
        const auto written = it->last_write_time(gone);
        if (!gone)
            entries.push_back({it->path(), size, written, temporary});
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
    // Without device and inode: the same file seen through an overlay or a shared folder has others there.
    const std::string identity = real + '\0' + std::to_string(info.st_size) + '\0' + nanoseconds(info.st_mtim) + '\0' +
                                 nanoseconds(info.st_ctim);
    const XXH128_hash_t hash = XXH3_128bits(identity.data(), identity.size());
    return hex(hash.high64).substr(2) + "-" + hex(hash.low64).substr(2);
}

std::string KernelCache::key_of_contents(const ByteSource& file) const {
    SHA2_CTX context;
    SHA256Init(&context);
    std::vector<std::byte> piece(std::min<uint64_t>(file.size(), 1U << 20));
    for (uint64_t at = 0; at < file.size(); at += piece.size()) {
        const std::span<std::byte> part = std::span{piece}.first(std::min<uint64_t>(piece.size(), file.size() - at));
        if (!file.read(at, part))
            return {};
        SHA256Update(&context, reinterpret_cast<const uint8_t*>(part.data()), part.size());
    }
    char digest[SHA256_DIGEST_STRING_LENGTH];
    return SHA256End(&context, digest);
}

std::shared_ptr<const ByteSource> KernelCache::find(const std::string& key) const {
    if (!is_private_directory(directory_))
        return nullptr;
    const std::string path = directory_ + "/" + key + std::string{entry_suffix};
    const Fd fd{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
        return nullptr;
    // Entries are only ever replaced or unlinked, never shortened: mapping one is safe.
    if (auto entry = read_entry(fd.get(), static_cast<uint64_t>(info.st_size)))
        return entry;
    unlink(path.c_str());
    return nullptr;
}

bool KernelCache::store(const std::string& key, std::span<const std::byte> bytes) const {
    if (bytes.empty() || bytes.size() > max_bytes_ || !make_directory(directory_))
        return false;
    evict(bytes.size());
    const std::string path = directory_ + "/" + key + std::string{entry_suffix};
    std::string temporary = path + std::string{temporary_mark} + "XXXXXX";
    const Fd fd{mkostemp(temporary.data(), O_CLOEXEC)};
    if (!fd)
        return false;
    // No fsync: after a crash of the host the checksum tells.
    if (write_entry(fd.get(), bytes) && rename(temporary.c_str(), path.c_str()) == 0)
        return true;
    unlink(temporary.c_str());
    return false;
}

void KernelCache::evict(uint64_t room) const {
    std::vector<Entry> entries = entries_of(directory_);
    std::ranges::sort(entries, {}, &Entry::written);
    const auto abandoned = fs::file_time_type::clock::now() - std::chrono::hours{1};
    uint64_t total = room;
    for (const Entry& entry : entries)
        total += entry.size;
    std::error_code failure;
    for (const Entry& entry : entries) {
        // Another process may be writing a fresh temporary file.
        const bool drop = entry.temporary ? entry.written < abandoned : total > max_bytes_;
        if (drop && fs::remove(entry.path, failure))
            total -= std::min(total, entry.size);
    }
}

} // namespace parapet::image
