// SPDX-License-Identifier: Apache-2.0
// The form of a file in the kernel cache: a page that names runs of bytes, then these, each from a page boundary on.
// What lies between runs is zero; a kernel's bss, often a third of its ELF, so takes no room and no time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "vmm/image/byte_source.hpp"

namespace parapet::image {

/// Writes an entry to an empty file; false if it could not.
[[nodiscard]] bool write_entry(int fd, std::span<const std::byte> bytes);

/// Maps an entry and checks it; nullptr if it is damaged or cannot be mapped. `file_size` is that of the whole file,
/// which nobody may shorten while it is mapped.
[[nodiscard]] std::shared_ptr<const ByteSource> read_entry(int fd, uint64_t file_size);

} // namespace parapet::image
