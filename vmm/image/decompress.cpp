// SPDX-License-Identifier: Apache-2.0
// Tells compressions apart and runs their decoders.
#include "vmm/image/decompress.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace parapet::image {
namespace {

struct Format {
    Compression compression;
    std::string_view name;
    std::string_view magic;
    Decoder decode;
};

using namespace std::string_view_literals;
constexpr std::array formats{
    Format{Compression::gzip, "gzip", "\x1f\x8b"sv, decode_gzip},
    Format{Compression::bzip2, "bzip2", "BZh"sv, decode_bzip2},
    Format{Compression::lzma, "lzma", "\x5d\x00\x00"sv, decode_lzma},
    Format{Compression::xz, "xz",
           "\xfd"
           "7zXZ\x00"sv,
           decode_xz},
    Format{Compression::lzo, "lzo", "\x89LZO\x00\r\n\x1a\n"sv, decode_lzo},
    Format{Compression::lz4, "lz4", "\x02\x21\x4c\x18"sv, decode_lz4},
    Format{Compression::zstd, "zstd", "\x28\xb5\x2f\xfd"sv, decode_zstd},
};

const Format* format_of(Compression compression) {
    const auto* found = std::ranges::find(formats, compression, &Format::compression);
    return found == formats.end() ? nullptr : &*found;
}

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
    return bytes.size() >= magic.size() &&
           std::ranges::equal(bytes.first(magic.size()), magic,
                              [](std::byte a, char b) { return a == static_cast<std::byte>(b); });
}

} // namespace

std::string_view name_of(Compression compression) {
    const Format* format = format_of(compression);
    return format == nullptr ? "none" : format->name;
}

std::optional<Compression> detect_compression(std::span<const std::byte> front) {
    for (const Format& format : formats)
        if (starts_with(front, format.magic))
            return format.compression;
    return std::nullopt;
}

Result<Output> Output::reserve(uint64_t limit) {
    auto map = Mapping::reserve(limit + page_size);
    return map ? Result{Output{*std::move(map), limit}} : map.error();
}

Result<Output> Output::reserve_shared(uint64_t limit) {
    auto map = Mapping::reserve_shared(limit + page_size);
    return map ? Result{Output{*std::move(map), limit}} : map.error();
}

Mapping Output::take() && {
    map_.shrink(used_);
    return std::move(map_);
}

Result<void> decompress(Compression compression, std::span<const std::byte> in, Output& out) {
    const Format* format = format_of(compression);
    if (format == nullptr)
        return Error{"has no compressed data"};
    const std::string name{format->name};
    const std::string remedy = "; copy or download it again";
    const Decoded how = format->decode(in, out);
    switch (out.over() ? Decoded::too_long : how) {
    case Decoded::ok:
        return {};
    case Decoded::truncated:
        return Error{"has truncated " + name + " data" + remedy};
    case Decoded::too_long:
        return Error{"has " + name + " data that unpacks to more than the expected " + std::to_string(out.limit()) +
                     " bytes" + remedy};
    case Decoded::no_memory:
        return Error{"has " + name + " data that takes too much memory to unpack" + remedy};
    case Decoded::corrupt:
        break;
    }
    return Error{"has corrupt " + name + " data" + remedy};
}

} // namespace parapet::image
