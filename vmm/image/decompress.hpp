// SPDX-License-Identifier: Apache-2.0
// Undoes the compressions that Linux offers for its kernels, by their usual libraries.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "support/result.hpp"
#include "vmm/image/kernel_image.hpp"
#include "vmm/image/mapping.hpp"

namespace parapet::image {

/// Which compression begins like this; nullopt if none does.
[[nodiscard]] std::optional<Compression> detect_compression(std::span<const std::byte> front);

/// The growing output of a decompressor: a reserved mapping with a little more room than the limit, so that a stream
/// of exactly `limit` bytes can be told from a longer one.
class Output {
public:
    [[nodiscard]] static Result<Output> reserve(uint64_t limit);
    /// For a decoder in a forked process. What that one add()s is not known here.
    [[nodiscard]] static Result<Output> reserve_shared(uint64_t limit);

    [[nodiscard]] std::span<std::byte> room() const { return map_.bytes().first(limit_ + page_size).subspan(used_); }
    void add(size_t count) { used_ += count; }
    [[nodiscard]] size_t used() const { return used_; }
    [[nodiscard]] bool over() const { return used_ > limit_; }
    [[nodiscard]] uint64_t limit() const { return limit_; }
    /// Less than was reserved, before anything is added.
    void lower_limit(uint64_t limit) { limit_ = std::min(limit_, limit); }
    [[nodiscard]] std::span<const std::byte> bytes() const { return map_.bytes().first(used_); }
    [[nodiscard]] Mapping take() &&;

private:
    Output(Mapping map, uint64_t limit) : map_{std::move(map)}, limit_{limit} {}
    Mapping map_;
    size_t used_ = 0;
    uint64_t limit_ = 0;
};

/// How a codec ended.
enum class Decoded { ok, corrupt, truncated, too_long, no_memory };

/// Decodes all frames of `in` to `out`.
using Decoder = Decoded (*)(std::span<const std::byte> in, Output& out);

/// Decompresses `in`, all frames that follow each other directly; other bytes after the last frame are ignored.
/// Error: a sentence's end whose subject is the file ("has corrupt xz data; ..."), also for more than `out` may have.
[[nodiscard]] Result<void> decompress(Compression compression, std::span<const std::byte> in, Output& out);

// One per format.
Decoded decode_gzip(std::span<const std::byte> in, Output& out);
Decoded decode_bzip2(std::span<const std::byte> in, Output& out);
Decoded decode_lzma(std::span<const std::byte> in, Output& out);
Decoded decode_xz(std::span<const std::byte> in, Output& out);
Decoded decode_lzo(std::span<const std::byte> in, Output& out);
Decoded decode_lz4(std::span<const std::byte> in, Output& out);
Decoded decode_zstd(std::span<const std::byte> in, Output& out);

} // namespace parapet::image
