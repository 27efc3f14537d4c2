// SPDX-License-Identifier: Apache-2.0
// What the loader needs from an ELF file: its loadable segments and its Xen notes.
#pragma once

#include <cstdint>
#include <vector>

#include "support/result.hpp"
#include "vmm/image/byte_source.hpp"
#include "vmm/image/kernel_image.hpp"
#include "vmm/image/xen_notes.hpp"

namespace parapet::image {

struct Elf {
    bool wide = true; ///< ELF64
    uint16_t machine = 0;
    uint64_t entry = 0;
    std::vector<Segment> segments; ///< vaddr not yet set; sorted by paddr, none overlapping, no address wraps
    XenNotes notes;
};

[[nodiscard]] bool is_elf(const ByteSource& source);

/// Whether these lie within a file of `file_size` bytes, are sorted by paddr, and none overlaps or wraps. Error: as
/// below.
[[nodiscard]] Result<void> check_segments(const std::vector<Segment>& segments, uint64_t file_size);

/// Checks and reads. Error: half a sentence whose subject is the file.
[[nodiscard]] Result<Elf> parse_elf(const ByteSource& source);

} // namespace parapet::image
