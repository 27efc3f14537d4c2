// SPDX-License-Identifier: Apache-2.0
// The initial ramdisk: one or several files, laid one after the other as Linux expects concatenated cpio archives.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/result.hpp"
#include "vmm/image/page_sink.hpp"

namespace parapet::image {

class ByteSource;

/// Files kept open and not yet read; each starts at a multiple of 4 bytes, zeros between.
class Initrd {
public:
    [[nodiscard]] static Result<Initrd> open(std::span<const std::string> paths);

    /// Bytes of all files with the padding between them; 0 without files.
    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] uint64_t pages() const { return (size_ + page_size - 1) / page_size; }

    /// Reads the files straight into pages first_pfn, first_pfn + 1, ...
    [[nodiscard]] Result<void> copy_to(PageSink& sink, uint64_t first_pfn) const;

    /// Closes the files; size() stays.
    void release() { files_.clear(); }

private:
    struct File {
        std::shared_ptr<const ByteSource> source;
        uint64_t at = 0; ///< byte offset within the initrd
        std::string path;
    };
    std::vector<File> files_;
    uint64_t size_ = 0;
};

} // namespace parapet::image
