// SPDX-License-Identifier: Apache-2.0
// Compresses as Linux's build does (scripts/Makefile.lib), with the libraries instead of the tools.
#include <stdexcept>

#include <bzlib.h>
#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/image/image_maker.hpp"

namespace parapet::image::test {
namespace {

using In = std::span<const std::byte>;

void must(bool ok) {
    if (!ok)
        throw std::runtime_error{"a test's compressor failed"};
}

Bytes gzip(In in) {
    z_stream z{};
    must(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    Bytes out(deflateBound(&z, in.size()));
    z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    z.avail_in = static_cast<unsigned>(in.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<unsigned>(out.size());
    must(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

Bytes bzip2(In in) {
    Bytes out(in.size() + in.size() / 100 + 600);
    auto size = static_cast<unsigned>(out.size());
    must(BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &size,
                                  reinterpret_cast<char*>(const_cast<std::byte*>(in.data())),
                                  static_cast<unsigned>(in.size()), 9, 0, 0) == BZ_OK);
    out.resize(size);
    return out;
}

Bytes run_lzma(lzma_stream& lzma, In in) {
    Bytes out(lzma_stream_buffer_bound(in.size()));
    lzma.next_in = reinterpret_cast<const uint8_t*>(in.data());
    lzma.avail_in = in.size();
    lzma.next_out = reinterpret_cast<uint8_t*>(out.data());
    lzma.avail_out = out.size();
    must(lzma_code(&lzma, LZMA_FINISH) == LZMA_STREAM_END);
    out.resize(lzma.total_out);
    lzma_end(&lzma);
    return out;
}

Bytes lzma(In in) {
    lzma_options_lzma options;
    must(lzma_lzma_preset(&options, 6) == 0);
    lzma_stream stream = LZMA_STREAM_INIT;
    must(lzma_alone_encoder(&stream, &options) == LZMA_OK);
    return run_lzma(stream, in);
}

Bytes xz(In in, bool bcj) {
    lzma_options_lzma options;
    must(lzma_lzma_preset(&options, 6) == 0);
    const lzma_filter filters[] = {
        {LZMA_FILTER_X86, nullptr}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
    lzma_stream stream = LZMA_STREAM_INIT;
    must(lzma_stream_encoder(&stream, bcj ? filters : filters + 1, LZMA_CHECK_CRC32) == LZMA_OK);
    return run_lzma(stream, in);
}

void append_be(Bytes& to, uint32_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
        to.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

uint32_t adler(In in) {
    return static_cast<uint32_t>(adler32_z(1, reinterpret_cast<const Bytef*>(in.data()), in.size()));
}

Bytes lzop(In in) {
    must(lzo_init() == LZO_E_OK);
    Bytes out;
    for (const unsigned b : {0x89U, 0x4cU, 0x5aU, 0x4fU, 0U, 0x0dU, 0x0aU, 0x1aU, 0x0aU})
        out.push_back(static_cast<std::byte>(b));
    append_be(out, 0x1040, 2);
    append_be(out, 0x20a0, 2);
    append_be(out, 0x0940, 2);
    append_be(out, 3, 1);          // method
    append_be(out, 9, 1);          // level
    append_be(out, 0x03000001, 4); // flags: Unix, adler32 of the data
    append_be(out, 0100644, 4);
    append_be(out, 0, 4);
    append_be(out, 0, 4);
    append_be(out, 3, 1);
    append(out, bytes_of("bin"));
    append_be(out, 0, 4); // checksum of the header, which Linux does not look at either
    constexpr size_t block = 256U << 10;
    std::vector<std::byte> work(LZO1X_1_MEM_COMPRESS);
    for (; !in.empty(); in = in.subspan(std::min(block, in.size()))) {
        const In data = in.first(std::min(block, in.size()));
        Bytes packed(data.size() + data.size() / 16 + 67);
        lzo_uint size = packed.size();
        must(lzo1x_1_compress(reinterpret_cast<const unsigned char*>(data.data()), data.size(),
                              reinterpret_cast<unsigned char*>(packed.data()), &size, work.data()) == LZO_E_OK);
        append_be(out, static_cast<uint32_t>(data.size()), 4);
        const In stored = size < data.size() ? In{packed}.first(size) : data;
        append_be(out, static_cast<uint32_t>(stored.size()), 4);
        append_be(out, adler(data), 4);
        append(out, stored);
    }
    append_be(out, 0, 4);
    return out;
}

Bytes lz4_legacy(In in) {
    Bytes out;
    append_value(out, uint32_t{0x184c2102});
    constexpr size_t block = 8U << 20;
    for (; !in.empty(); in = in.subspan(std::min(block, in.size()))) {
        const In data = in.first(std::min(block, in.size()));
        Bytes packed(static_cast<size_t>(LZ4_compressBound(static_cast<int>(data.size()))));
        const int size =
            LZ4_compress_default(reinterpret_cast<const char*>(data.data()), reinterpret_cast<char*>(packed.data()),
                                 static_cast<int>(data.size()), static_cast<int>(packed.size()));
        must(size > 0);
        append_value(out, static_cast<uint32_t>(size));
        append(out, In{packed}.first(static_cast<size_t>(size)));
    }
    return out;
}

Bytes zstd(In in) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    Bytes out(ZSTD_compressBound(in.size()));
    const size_t size = ZSTD_compress2(context, out.data(), out.size(), in.data(), in.size());
    ZSTD_freeCCtx(context);
    must(ZSTD_isError(size) == 0);
    out.resize(size);
    return out;
}

} // namespace

Bytes compress(Compression compression, In in) {
    switch (compression) {
    case Compression::gzip:
        return gzip(in);
    case Compression::bzip2:
        return bzip2(in);
    case Compression::lzma:
        return lzma(in);
    case Compression::xz:
        return xz(in, false);
    case Compression::lzo:
        return lzop(in);
    case Compression::lz4:
        return lz4_legacy(in);
    case Compression::zstd:
        return zstd(in);
    case Compression::none:
        break;
    }
    return {in.begin(), in.end()};
}

Bytes xz_with_bcj(In in) {
    return xz(in, true);
}

} // namespace parapet::image::test
