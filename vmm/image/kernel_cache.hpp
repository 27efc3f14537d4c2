// SPDX-License-Identifier: Apache-2.0
// Decompressed kernels kept between runs, in $XDG_CACHE_HOME/parapet/kernels.
//
// Decompressing a distribution kernel costs far more than copying it. An entry is found by what identifies the
// compressed file (canonical path, size, times; a kernel out of a disk image by its contents), carries a checksum, and
// appears by rename, so concurrent writers and crashes leave whole entries or none. Any trouble with the cache means
// "not cached", never an error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

struct stat;

namespace parapet::image {

class ByteSource;

class KernelCache {
public:
    /// Keeps entries in `directory` (made on first use) and drops the oldest beyond `max_bytes`.
    explicit KernelCache(std::string directory, uint64_t max_bytes = default_max_bytes);

    /// $XDG_CACHE_HOME/parapet/kernels, or ~/.cache/parapet/kernels; nullopt where neither variable names an absolute
    /// path, or PARAPET_KERNEL_CACHE=off.
    [[nodiscard]] static std::optional<KernelCache> from_environment();

    /// Name of the entry for a file; empty if the file must not be cached (changed within the last two seconds).
    [[nodiscard]] std::string key_of(const std::string& path, const struct stat& info) const;

    /// Name of the entry for bytes that cannot change any more, by their SHA-256: whoever made them may have chosen
    /// them.
    [[nodiscard]] std::string key_of_contents(const ByteSource& file) const;

    /// The decompressed bytes, checked; nullptr if there is no good entry.
    [[nodiscard]] std::shared_ptr<const ByteSource> find(const std::string& key) const;

    /// Stores an entry; false if it could not.
    bool store(const std::string& key, std::span<const std::byte> bytes) const;

    [[nodiscard]] const std::string& directory() const { return directory_; }

    static constexpr uint64_t default_max_bytes = 512ULL << 20;

private:
    void evict(uint64_t room) const;
    std::string directory_;
    uint64_t max_bytes_;
};

} // namespace parapet::image
