// SPDX-License-Identifier: Apache-2.0
// The outer shape of a Linux x86 bzImage: real-mode setup, then a payload with the compressed kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "support/result.hpp"
#include "vmm/image/byte_source.hpp"

namespace parapet::image {

struct BzImage {
    uint64_t payload_offset = 0; ///< in the file
    uint64_t payload_length = 0; ///< at least 8, inside the file
    uint32_t unpacked_size = 0;  ///< the payload's last four bytes
    std::string version_text;    ///< "6.1.0-56-amd64 (debian-kernel@...) #1 SMP ..."; may be empty
};

/// nullopt: not a bzImage at all. Error: half a sentence whose subject is the file.
[[nodiscard]] Result<std::optional<BzImage>> parse_bzimage(const ByteSource& file);

} // namespace parapet::image
