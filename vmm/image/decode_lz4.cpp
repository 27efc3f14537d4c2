// SPDX-License-Identifier: Apache-2.0
// The LZ4 "legacy" frame that Linux's kernels use: a magic number, then blocks of up to 8 MiB, each with its
// compressed size; no end mark. A size equal to the magic number starts another frame.
#include <algorithm>

#include <lz4.h>

#include "vmm/image/decompress.hpp"
#include "vmm/image/little_endian.hpp"

namespace parapet::image {
namespace {

constexpr uint32_t legacy_magic = 0x184c2102;
constexpr size_t block_size = 8U << 20;

} // namespace

Decoded decode_lz4(std::span<const std::byte> in, Output& out) {
    if (in.size() < 4)
        return Decoded::truncated;
    in = in.subspan(4); // the magic that detect_compression saw
    while (in.size() >= 4) {
        const uint32_t size = read_le<uint32_t>(in, 0);
        in = in.subspan(4);
        if (size == legacy_magic)
            continue;
        if (size == 0)
            break;
        if (size > static_cast<uint32_t>(LZ4_compressBound(block_size)))
            return Decoded::corrupt;
        if (size > in.size())
            return Decoded::truncated;
        const auto room = out.room();
        const size_t space = std::min(room.size(), block_size);
        const int got =
            LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(room.data()),
                                static_cast<int>(size), static_cast<int>(space));
        if (got < 0)
            return space < block_size ? Decoded::too_long : Decoded::corrupt;
        in = in.subspan(size);
        out.add(static_cast<size_t>(got));
        if (out.over())
            return Decoded::too_long;
    }
    return in.empty() ? Decoded::ok : Decoded::truncated;
}

} // namespace parapet::image
