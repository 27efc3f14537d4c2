// SPDX-License-Identifier: Apache-2.0
// From a file's bytes to a report, and from the report to what it says.
#include "vmm/image/kernel_reader.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string>

#include "vmm/image/bzimage.hpp"
#include "vmm/image/confined_decoder.hpp"
#include "vmm/image/text.hpp"
#include "vmm/image/version.hpp"

namespace parapet::image {
namespace {

/// A part of the file, and how it is compressed.
struct Payload {
    uint64_t offset = 0;
    uint64_t length = 0;
    Compression compression = Compression::none;
    uint64_t unpacked_limit = 0;
    bool exact = false; ///< unpacked_limit is the very size
};

constexpr size_t front_size = 16;

std::span<const std::byte> front_of(const ByteSource& source, uint64_t offset,
                                    std::array<std::byte, front_size>& bytes) {
    if (offset >= source.size())
        return {};
    const std::span<std::byte> there{bytes.data(), std::min<uint64_t>(bytes.size(), source.size() - offset)};
    return source.read(offset, there) ? there : std::span<std::byte>{};
}

bool is_cpio(std::span<const std::byte> front) {
    return text_of(front).starts_with("07070");
}

Error not_a_kernel(std::span<const std::byte> front) {
    const std::string text = text_of(front);
    if (is_cpio(front))
        return {"is a cpio archive, perhaps an initrd; give the kernel here and this with --initrd"};
    if (text.starts_with("MZ"))
        return {"is a PE (EFI) program without a Linux boot header; use the bzImage or ELF kernel inside of it"};
    return {"is not a kernel; give a Linux bzImage (vmlinuz) or an ELF kernel built for Xen PV"};
}

Result<Payload> find_payload(const ByteSource& file, const std::optional<BzImage>& bzimage, uint64_t max_bytes) {
    std::array<std::byte, front_size> bytes{};
    if (!bzimage) {
        const auto compression = detect_compression(front_of(file, 0, bytes));
        if (!compression)
            return not_a_kernel(front_of(file, 0, bytes));
        return Payload{0, file.size(), *compression, max_bytes, false};
    }
    const auto compression = detect_compression(front_of(file, bzimage->payload_offset, bytes));
    if (!compression)
        return Error{"is a bzImage with a damaged payload, or with a compression that is not known here (gzip, bzip2, "
                     "lzma, xz, lzo, lz4 and zstd are); download it again"};
    if (bzimage->unpacked_size > max_bytes)
        return Error{"claims to unpack to " + std::to_string(bzimage->unpacked_size >> 20) + " MiB, more than the " +
                     std::to_string(max_bytes >> 20) + " MiB that a kernel may take; download it again"};
    // A legacy lz4 frame has no end mark, so the size after it has to be kept away from the decoder.
    const uint64_t tail = *compression == Compression::lz4 ? 4 : 0;
    return Payload{bzimage->payload_offset, bzimage->payload_length - tail, *compression, bzimage->unpacked_size, true};
}

Result<void> unpack(const ByteSource& file, const Payload& payload, Output& out) {
    Mapping held;
    std::span<const std::byte> packed = file.bytes();
    if (packed.empty()) {
        auto room = Mapping::reserve(payload.length);
        if (!room)
            return Error{"cannot be read: " + room.error().message};
        held = *std::move(room);
        if (!file.read(payload.offset, held.bytes()))
            return Error{"cannot be read; check that nothing changes the file meanwhile"};
        packed = held.bytes();
    } else {
        packed = packed.subspan(payload.offset, payload.length);
    }
    out.lower_limit(payload.unpacked_limit);
    if (auto done = decompress(payload.compression, packed, out); !done)
        return done;
    if (payload.exact && out.used() != payload.unpacked_limit)
        return Error{"has corrupt " + std::string{name_of(payload.compression)} + " data (it unpacks to " +
                     std::to_string(out.used()) + " bytes instead of " + std::to_string(payload.unpacked_limit) +
                     "); copy or download it again"};
    return {};
}

Error no_elf_inside(const ByteSource& unpacked, Compression compression) {
    std::array<std::byte, front_size> bytes{};
    if (is_cpio(front_of(unpacked, 0, bytes)))
        return {"is a compressed cpio archive, perhaps an initrd; give the kernel here and this with --initrd"};
    return {"has " + std::string{name_of(compression)} +
            " data without an ELF kernel in it; give a Linux bzImage (vmlinuz) or an ELF kernel"};
}

Result<void> parse(const ByteSource& source, const std::optional<BzImage>& bzimage, ParsedImage& parsed) {
    auto elf = parse_elf(source);
    if (!elf)
        return elf.error();
    parsed.elf = *std::move(elf);
    if (bzimage)
        parsed.version_text = bzimage->version_text;
    else if (parsed.elf.notes.guest_os.starts_with("linux"))
        parsed.version_text = find_linux_version(source, parsed.elf.segments);
    return {};
}

Result<ParsedImage> read(const ReadRequest& request, Output& out) {
    const auto bzimage = parse_bzimage(request.file);
    if (!bzimage)
        return bzimage.error();
    ParsedImage parsed;
    parsed.is_bzimage = bzimage->has_value();
    Result<void> done;
    if (!parsed.is_bzimage && is_elf(request.file)) {
        done = parse(request.file, *bzimage, parsed);
        return done ? Result{parsed} : done.error();
    }
    const auto payload = find_payload(request.file, *bzimage, request.max_bytes);
    if (!payload)
        return payload.error();
    parsed.compression = payload->compression;
    if (request.cached != nullptr) {
        parsed.place = ElfPlace::cached;
        done = parse(*request.cached, *bzimage, parsed);
        return done ? Result{parsed} : done.error();
    }
    if (done = unpack(request.file, *payload, out); !done)
        return done.error();
    parsed.place = ElfPlace::unpacked;
    const MemorySource unpacked{out.bytes()};
    if (!is_elf(unpacked))
        return no_elf_inside(unpacked, payload->compression);
    done = parse(unpacked, *bzimage, parsed);
    return done ? Result{parsed} : done.error();
}

} // namespace

void read_kernel(const ReadRequest& request, Output& out, ImageReport& report) {
    const auto parsed = read(request, out);
    if (parsed)
        write_report(*parsed, report);
    else
        write_error(parsed.error().message, report);
}

Result<ReadKernel> read_kernel(const ReadRequest& request, Decoding where) {
    const bool confined = where == Decoding::confined;
    const auto reserve = confined ? Mapping::reserve_shared : Mapping::reserve;
    const uint64_t limit = request.cached == nullptr ? request.max_bytes : 0;
    auto page = reserve(sizeof(ImageReport));
    auto out = confined ? Output::reserve_shared(limit) : Output::reserve(limit);
    if (!page || !out)
        return Error{"cannot be read: " + (page ? out.error() : page.error()).message};
    auto* const report = new (page->bytes().data()) ImageReport{};
    if (confined) {
        const auto work = [&](Output& room) {
            read_kernel(request, room, *report);
            return Decoded::ok;
        };
        const auto how = decode_confined(work, request.file.descriptor(), *out);
        if (!how)
            return how.error();
        if (*how != Decoded::ok)
            return Error{"takes too much memory to unpack; copy or download it again"};
    } else {
        read_kernel(request, *out, *report);
    }
    auto parsed = read_report(*report);
    if (!parsed)
        return parsed.error();
    ReadKernel result{*std::move(parsed), {}};
    if (result.parsed.place == ElfPlace::unpacked)
        result.unpacked = std::move(*out).take();
    return result;
}

} // namespace parapet::image
