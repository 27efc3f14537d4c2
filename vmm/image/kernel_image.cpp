// SPDX-License-Identifier: Apache-2.0
// From a file to a checked KernelImage.
#include "vmm/image/kernel_image.hpp"

#include "vmm/image/elf.hpp"
#include "vmm/image/kernel_cache.hpp"
#include "vmm/image/kernel_reader.hpp"
#include "vmm/image/layout.hpp"

namespace parapet::image {
namespace {

using Source = std::shared_ptr<const ByteSource>;

/// The name of the cache's entry for what this file unpacks to; empty where it is not to be cached.
std::string cache_key(const ByteSource& file, const LoadOptions& options, const std::string& path) {
    if (options.cache == nullptr || is_elf(file))
        return {};
    if (file.sealed())
        return options.cache->key_of_contents(file);
    return file.info() != nullptr ? options.cache->key_of(path, *file.info()) : std::string{};
}

/// The bytes that a report is about. Error: there are none, so the report was forged.
Result<Source> source_of(ReadKernel read, const Source& file, const Source& cached) {
    Source source = read.parsed.place == ElfPlace::file ? file : cached;
    if (read.parsed.place == ElfPlace::unpacked)
        source = std::make_shared<const MemorySource>(std::move(read.unpacked));
    if (source == nullptr)
        return Error{"cannot be read: its data broke the process that does it; copy or download it again"};
    return source;
}

Result<void> load(const Source& file, const LoadOptions& options, KernelImage& image, Source& elf_source) {
    const std::string key = cache_key(*file, options, image.path);
    const Source cached = key.empty() ? nullptr : options.cache->find(key);
    auto read = read_kernel({*file, cached.get(), options.max_bytes}, options.decoding);
    if (!read)
        return read.error();
    ParsedImage parsed = std::move(read->parsed);
    read->parsed.place = parsed.place;
    const auto source = source_of(*std::move(read), file, cached);
    if (!source)
        return source.error();
    if (auto laid_out = accept_parsed(parsed, (*source)->size(), options.max_bytes, image); !laid_out)
        return laid_out;
    image.from_cache = parsed.place == ElfPlace::cached;
    if (parsed.place == ElfPlace::unpacked && !key.empty())
        options.cache->store(key, (*source)->bytes());
    elf_source = *source;
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
