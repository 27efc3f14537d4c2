// SPDX-License-Identifier: Apache-2.0
// Opens initrd files and reads them into pages.
#include "vmm/image/initrd.hpp"

#include "vmm/image/byte_source.hpp"

namespace parapet::image {
namespace {

constexpr uint64_t cpio_alignment = 4;
constexpr uint64_t max_initrd = 1ULL << 40; // any file size beyond is a sparse-file accident; keeps sums from wrapping

} // namespace

Result<Initrd> Initrd::open(std::span<const std::string> paths) {
    Initrd initrd;
    for (const std::string& path : paths) {
        auto source = load_file(path, "initrd");
        if (!source)
            return source.error();
        const uint64_t at = (initrd.size_ + cpio_alignment - 1) / cpio_alignment * cpio_alignment;
        if ((*source)->size() > max_initrd - at)
            return Error{"initrd '" + path + "' is larger than any domain's memory; check the file"};
        initrd.size_ = at + (*source)->size();
        initrd.files_.push_back({*std::move(source), at, path});
    }
    return initrd;
}

Result<void> Initrd::copy_to(PageSink& sink, uint64_t first_pfn) const {
    for (const File& file : files_) {
        const uint64_t target = first_pfn * page_size + file.at;
        switch (copy_to_pages(*file.source, 0, file.source->size(), sink, target)) {
        case CopyOutcome::done:
            break;
        case CopyOutcome::no_such_page:
            return Error{"initrd '" + file.path +
                         "' does not fit into the domain's memory; give it more with --memory"};
        case CopyOutcome::unreadable:
            return Error{"cannot read initrd '" + file.path +
                         "' to its end; check that nothing changes the file meanwhile"};
        }
    }
    return {};
}

} // namespace parapet::image
