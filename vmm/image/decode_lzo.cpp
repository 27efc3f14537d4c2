// SPDX-License-Identifier: Apache-2.0
// The lzop container: a header, then blocks with their sizes and checksums (big-endian), ended by a zero size.
#include <algorithm>

#include <lzo/lzo1x.h>
#include <zlib.h>

#include "vmm/image/decompress.hpp"

namespace parapet::image {
namespace {

constexpr size_t magic_size = 9;
constexpr uint32_t max_block = 64U << 20;

enum Flags : uint32_t {
    F_ADLER32_D = 0x1,
    F_ADLER32_C = 0x2,
    F_H_EXTRA_FIELD = 0x40,
    F_CRC32_D = 0x100,
    F_CRC32_C = 0x200,
    F_H_FILTER = 0x800,
};

/// Takes big-endian numbers off the front; after the end it gives zeros and is `short_`.
class Reader {
public:
    explicit Reader(std::span<const std::byte> bytes) : rest_{bytes} {}

    uint32_t number(size_t size) {
        uint32_t value = 0;
        for (const std::byte b : take(size))
            value = value << 8 | std::to_integer<uint32_t>(b);
        return value;
    }
    std::span<const std::byte> take(size_t size) {
        if (size > rest_.size()) {
            short_ = true;
            rest_ = {};
            return {};
        }
        const auto taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    [[nodiscard]] bool ended_early() const { return short_; }

private:
    std::span<const std::byte> rest_;
    bool short_ = false;
};

/// Skips the file header; returns its flags.
uint32_t read_header(Reader& in) {
    in.take(magic_size);
    const uint32_t version = in.number(2);
    in.number(2); // of the library
    const bool newer = version >= 0x0940;
    if (newer)
        in.number(2);         // version needed to extract
    in.number(newer ? 2 : 1); // method, level
    const uint32_t flags = in.number(4);
    if ((flags & F_H_FILTER) != 0)
        in.number(4);
    in.take(newer ? 12 : 8); // mode and time
    in.take(in.number(1));   // file name
    in.number(4);            // checksum of the header
    if ((flags & F_H_EXTRA_FIELD) != 0) {
        in.take(in.number(4));
        in.number(4);
    }
    return flags;
}

bool sums_match(std::span<const std::byte> bytes, const uint32_t* adler, const uint32_t* crc) {
    const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
    return (adler == nullptr || adler32_z(1, data, bytes.size()) == *adler) &&
           (crc == nullptr || crc32_z(0, data, bytes.size()) == *crc);
}

/// Decodes the block that starts with `size` uncompressed bytes.
Decoded decode_block(Reader& in, uint32_t flags, uint32_t size, Output& out) {
    const uint32_t packed = in.number(4);
    const uint32_t adler = (flags & F_ADLER32_D) != 0 ? in.number(4) : 0;
    const uint32_t crc = (flags & F_CRC32_D) != 0 ? in.number(4) : 0;
    if (packed < size) // sums of the packed bytes: those of the unpacked ones tell as much
        in.take(((flags & F_ADLER32_C) != 0 ? 4U : 0U) + ((flags & F_CRC32_C) != 0 ? 4U : 0U));
    if (in.ended_early())
        return Decoded::truncated;
    if (size > max_block || packed > size)
        return Decoded::corrupt;
    const auto data = in.take(packed);
    if (in.ended_early())
        return Decoded::truncated;
    const auto room = out.room();
    if (size > room.size())
        return Decoded::too_long;
    if (packed == size) {
        std::ranges::copy(data, room.begin());
    } else {
        lzo_uint got = size;
        if (lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(data.data()), data.size(),
                                  reinterpret_cast<unsigned char*>(room.data()), &got, nullptr) != LZO_E_OK ||
            got != size)
            return Decoded::corrupt;
    }
    if (!sums_match(room.first(size), (flags & F_ADLER32_D) != 0 ? &adler : nullptr,
                    (flags & F_CRC32_D) != 0 ? &crc : nullptr))
        return Decoded::corrupt;
    out.add(size);
    return out.over() ? Decoded::too_long : Decoded::ok;
}

} // namespace

Decoded decode_lzo(std::span<const std::byte> in, Output& out) {
    if (lzo_init() != LZO_E_OK)
        return Decoded::no_memory;
    Reader reader{in};
    const uint32_t flags = read_header(reader);
    while (true) {
        const uint32_t size = reader.number(4);
        if (reader.ended_early())
            return Decoded::truncated;
        if (size == 0)
            return Decoded::ok;
        if (const Decoded how = decode_block(reader, flags, size, out); how != Decoded::ok)
            return how;
    }
}

} // namespace parapet::image
