// SPDX-License-Identifier: Apache-2.0
// Takes a kernel file apart: bzImage, compression, ELF, notes. All that meets a stranger's bytes is called from here,
// in a process that is confined.
#pragma once

#include <cstdint>

#include "vmm/image/byte_source.hpp"
#include "vmm/image/decompress.hpp"
#include "vmm/image/image_report.hpp"
#include "vmm/image/kernel_image.hpp"

namespace parapet::image {

struct ReadRequest {
    const ByteSource& file;
    const ByteSource* cached; ///< what the file unpacks to, or nullptr
    uint64_t max_bytes;
};

/// Reads the file to its report; unpacks it to `out`, if it has to.
void read_kernel(const ReadRequest& request, Output& out, ImageReport& report);

struct ReadKernel {
    ParsedImage parsed;
    Mapping unpacked; ///< empty unless parsed.place says so
};

/// The same, where `where` says; nothing of the result is believed. Error: half a sentence whose subject is the file.
[[nodiscard]] Result<ReadKernel> read_kernel(const ReadRequest& request, Decoding where);

} // namespace parapet::image
