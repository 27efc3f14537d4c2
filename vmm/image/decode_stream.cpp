// SPDX-License-Identifier: Apache-2.0
// Decoders whose libraries know the whole format: gzip, bzip2, lzma, xz, zstd.
#include <algorithm>
#include <limits>
#include <memory>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/image/decompress.hpp"

namespace parapet::image {
namespace {

using Bytes = std::span<const std::byte>;

/// Dictionaries of Linux's own images are at most 128 MiB.
constexpr uint64_t lzma_memory_limit = 512ULL << 20;

/// zlib and libbz2 count in 32 bits.
unsigned chunk(size_t size) {
    return static_cast<unsigned>(std::min<size_t>(size, std::numeric_limits<unsigned>::max() / 2));
}

Decoded inflate_member(Bytes& in, Output& out) {
    z_stream z{};
    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return Decoded::no_memory;
    const std::unique_ptr<z_stream, decltype(&inflateEnd)> owner{&z, inflateEnd};
    while (true) {
        const unsigned in_size = chunk(in.size());
        const auto room = out.room();
        const unsigned out_size = chunk(room.size());
        // zlib does not write to its input.
        z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
        z.avail_in = in_size;
        z.next_out = reinterpret_cast<Bytef*>(room.data());
        z.avail_out = out_size;
        const int status = inflate(&z, Z_FINISH); // all at once: zlib then needs no window of its own
        in = in.subspan(in_size - z.avail_in);
        out.add(out_size - z.avail_out);
        if (status == Z_STREAM_END)
            return Decoded::ok;
        if (out.over())
            return Decoded::too_long;
        if (status == Z_MEM_ERROR)
            return Decoded::no_memory;
        if (status != Z_OK && status != Z_BUF_ERROR)
            return Decoded::corrupt;
        if (in.empty())
            return Decoded::truncated;
        if (z.avail_in == in_size && z.avail_out == out_size)
            return Decoded::corrupt;
    }
}

Decoded bunzip_stream(Bytes& in, Output& out) {
    bz_stream bz{};
    if (BZ2_bzDecompressInit(&bz, 0, 0) != BZ_OK)
        return Decoded::no_memory;
    const std::unique_ptr<bz_stream, decltype(&BZ2_bzDecompressEnd)> owner{&bz, BZ2_bzDecompressEnd};
    while (true) {
        const unsigned in_size = chunk(in.size());
        const auto room = out.room();
        const unsigned out_size = chunk(room.size());
        bz.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(in.data()));
        bz.avail_in = in_size;
        bz.next_out = reinterpret_cast<char*>(room.data());
        bz.avail_out = out_size;
        const int status = BZ2_bzDecompress(&bz);
        const bool moved = bz.avail_in != in_size || bz.avail_out != out_size;
        in = in.subspan(in_size - bz.avail_in);
        out.add(out_size - bz.avail_out);
        if (status == BZ_STREAM_END)
            return Decoded::ok;
        if (out.over())
            return Decoded::too_long;
        if (status == BZ_MEM_ERROR)
            return Decoded::no_memory;
        if (status != BZ_OK)
            return Decoded::corrupt;
        if (!moved)
            return in.empty() ? Decoded::truncated : Decoded::corrupt;
    }
}

/// Runs an initialised liblzma decoder to the end of its stream.
Decoded run_lzma(lzma_stream& lzma, Bytes& in, Output& out) {
    const auto room = out.room();
    lzma.next_in = reinterpret_cast<const uint8_t*>(in.data());
    lzma.avail_in = in.size();
    lzma.next_out = reinterpret_cast<uint8_t*>(room.data());
    lzma.avail_out = room.size();
    lzma_ret status = LZMA_OK;
    while (status == LZMA_OK)
        status = lzma_code(&lzma, LZMA_FINISH); // two calls without progress give LZMA_BUF_ERROR
    in = in.subspan(in.size() - lzma.avail_in);
    out.add(room.size() - lzma.avail_out);
    if (out.over())
        return Decoded::too_long;
    switch (status) {
    case LZMA_STREAM_END:
        return Decoded::ok;
    case LZMA_BUF_ERROR:
        return Decoded::truncated;
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR:
        return Decoded::no_memory;
    default:
        return Decoded::corrupt;
    }
}

template <typename Init>
Decoded lzma_frame(Bytes& in, Output& out, Init init) {
    lzma_stream lzma = LZMA_STREAM_INIT;
    if (init(lzma) != LZMA_OK)
        return Decoded::no_memory;
    const std::unique_ptr<lzma_stream, decltype(&lzma_end)> owner{&lzma, lzma_end};
    return run_lzma(lzma, in, out);
}

/// Decodes frames as long as they follow each other.
template <typename DecodeFrame>
Decoded each_frame(Compression compression, Bytes in, Output& out, DecodeFrame decode) {
    do {
        if (const Decoded how = decode(in, out); how != Decoded::ok)
            return how;
        if (out.over())
            return Decoded::too_long;
    } while (detect_compression(in) == compression);
    return Decoded::ok;
}

} // namespace

Decoded decode_gzip(Bytes in, Output& out) {
    return each_frame(Compression::gzip, in, out, inflate_member);
}

Decoded decode_bzip2(Bytes in, Output& out) {
    return each_frame(Compression::bzip2, in, out, bunzip_stream);
}

Decoded decode_lzma(Bytes in, Output& out) {
    // A .lzma file is one stream; its magic is too weak to look for another.
    return lzma_frame(in, out, [](lzma_stream& lzma) { return lzma_alone_decoder(&lzma, lzma_memory_limit); });
}

Decoded decode_xz(Bytes in, Output& out) {
    return each_frame(Compression::xz, in, out, [](Bytes& rest, Output& to) {
        return lzma_frame(rest, to, [](lzma_stream& lzma) { return lzma_stream_decoder(&lzma, lzma_memory_limit, 0); });
    });
}

Decoded decode_zstd(Bytes in, Output& out) {
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};
    if (!context)
        return Decoded::no_memory;
    return each_frame(Compression::zstd, in, out, [&](Bytes& rest, Output& to) {
        const size_t frame = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
        if (ZSTD_isError(frame) != 0)
            return Decoded::truncated;
        const auto room = to.room();
        // Whole frames into one buffer: the output is the window.
        const size_t size = ZSTD_decompressDCtx(context.get(), room.data(), room.size(), rest.data(), frame);
        if (ZSTD_isError(size) != 0) {
            const unsigned long long content = ZSTD_getFrameContentSize(rest.data(), frame);
            const bool too_long = content < ZSTD_CONTENTSIZE_ERROR && content > room.size();
            return too_long ? Decoded::too_long : Decoded::corrupt;
        }
        rest = rest.subspan(frame);
        to.add(size);
        return Decoded::ok;
    });
}

} // namespace parapet::image
