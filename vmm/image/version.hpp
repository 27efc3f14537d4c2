// SPDX-License-Identifier: Apache-2.0
// Finds out which Linux a plain vmlinux is.
#pragma once

#include <string>
#include <vector>

#include "vmm/image/byte_source.hpp"
#include "vmm/image/kernel_image.hpp"

namespace parapet::image {

/// What follows "Linux version " in the kernel's banner; empty if there is none.
[[nodiscard]] std::string find_linux_version(const ByteSource& elf, const std::vector<Segment>& segments);

} // namespace parapet::image
