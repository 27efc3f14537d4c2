// SPDX-License-Identifier: Apache-2.0
// From a file to a checked KernelImage.
#include "vmm/image/kernel_image.hpp"

#include <algorithm>
#include <array>

#include "vmm/image/bzimage.hpp"
#include "vmm/image/decompress.hpp"
#include "vmm/image/elf.hpp"
#include "vmm/image/kernel_cache.hpp"
#include "vmm/image/layout.hpp"
#include "vmm/image/text.hpp"
#include "vmm/image/version.hpp"

namespace parapet::image {
namespace {

using Source = std::shared_ptr<const ByteSource>;

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

Result<Mapping> unpack(const ByteSource& file, const Payload& payload, Decoding where) {
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
    auto unpacked = decompress(payload.compression, packed, payload.unpacked_limit, where);
    if (!unpacked)
        return unpacked;
    if (payload.exact && unpacked->bytes().size() != payload.unpacked_limit)
        return Error{"has corrupt " + std::string{name_of(payload.compression)} + " data (it unpacks to " +
                     std::to_string(unpacked->bytes().size()) + " bytes instead of " +
                     std::to_string(payload.unpacked_limit) + "); copy or download it again"};
    return unpacked;
}

/// The ELF inside the file, from the cache if it is there.
Result<Source> elf_of(const Source& file, const std::optional<BzImage>& bzimage, const LoadOptions& options,
                      KernelImage& image) {
    if (!bzimage && is_elf(*file))
        return file;
    const auto payload = find_payload(*file, bzimage, options.max_bytes);
    if (!payload)
        return payload.error();
    image.compression = payload->compression;
    std::string key;
    if (options.cache != nullptr && file->sealed())
        key = options.cache->key_of_contents(*file);
    else if (options.cache != nullptr && file->info() != nullptr)
        key = options.cache->key_of(image.path, *file->info());
    if (!key.empty())
        if (auto found = options.cache->find(key)) {
            image.from_cache = true;
            return found;
        }
    auto unpacked = unpack(*file, *payload, options.decoding);
    if (!unpacked)
        return unpacked.error();
    const auto elf = std::make_shared<const MemorySource>(*std::move(unpacked));
    if (!is_elf(*elf)) {
        std::array<std::byte, front_size> bytes{};
        if (is_cpio(front_of(*elf, 0, bytes)))
            return Error{
                "is a compressed cpio archive, perhaps an initrd; give the kernel here and this with --initrd"};
        return Error{"has " + std::string{name_of(payload->compression)} +
                     " data without an ELF kernel in it; give a Linux bzImage (vmlinuz) or an ELF kernel"};
    }
    if (!key.empty())
        options.cache->store(key, elf->bytes());
    return Source{elf};
}

Result<void> load(const Source& file, const LoadOptions& options, KernelImage& image, Source& elf_source) {
    const auto bzimage = parse_bzimage(*file);
    if (!bzimage)
        return bzimage.error();
    image.is_bzimage = bzimage->has_value();
    auto source = elf_of(file, *bzimage, options, image);
    if (!source)
        return source.error();
    auto elf = parse_elf(**source);
    if (!elf)
        return elf.error();
    if (auto pv = check_is_pv(*elf, image.is_bzimage); !pv)
        return pv;
    if (auto laid_out = apply_layout(*std::move(elf), options.max_bytes, image); !laid_out)
        return laid_out;
    image.elf_size = (*source)->size();
    if (image.is_bzimage)
        image.version_text = (*bzimage)->version_text;
    else if (image.notes.guest_os.starts_with("linux"))
        image.version_text = find_linux_version(**source, image.segments);
    image.kernel_version = image.version_text.substr(0, image.version_text.find(' '));
    elf_source = *std::move(source);
    return {};
}

} // namespace

KernelImage::KernelImage() = default;
KernelImage::KernelImage(KernelImage&&) noexcept = default;
KernelImage& KernelImage::operator=(KernelImage&&) noexcept = default;
KernelImage::~KernelImage() = default;

void KernelImage::release() {
    elf_.reset();
}

Result<void> KernelImage::copy_to(PageSink& sink) const {
    if (elf_ == nullptr)
        return Error{"kernel '" + path + "' was already released; load it again"};
    for (const Segment& segment : segments) {
        switch (copy_to_pages(*elf_, segment.offset, segment.file_size, sink, segment.vaddr - virt_base)) {
        case CopyOutcome::done:
            break;
        case CopyOutcome::no_such_page:
            return Error{"kernel '" + path + "' does not fit into the domain's memory; give it at least " +
                         std::to_string(((virt_end - virt_base) >> 20) + 8) + "M with --memory"};
        case CopyOutcome::unreadable:
            return Error{"cannot read kernel '" + path + "' to its end; check that nothing changes the file meanwhile"};
        }
    }
    return {};
}

Result<KernelImage> load_image(std::string path, std::shared_ptr<const ByteSource> file, const LoadOptions& options) {
    KernelImage image;
    image.path = std::move(path);
    if (auto loaded = load(file, options, image, image.elf_); !loaded)
        return Error{"kernel '" + image.path + "' " + loaded.error().message};
    return image;
}

Result<KernelImage> load_kernel(const std::string& path, const LoadOptions& options) {
    auto file = load_file(path, "kernel");
    if (!file)
        return file.error();
    return load_image(path, *std::move(file), options);
}

} // namespace parapet::image
