// SPDX-License-Identifier: Apache-2.0
// Where a PV kernel wants to lie: its ELF and notes with Xen's defaults applied, checked.
#pragma once

#include "support/result.hpp"
#include "vmm/image/elf.hpp"
#include "vmm/image/image_report.hpp"
#include "vmm/image/kernel_image.hpp"

namespace parapet::image {

/// [start, end) is canonical, outside the hypervisor's hole, and in one half of the address space.
[[nodiscard]] bool is_guest_range(uint64_t start, uint64_t end);

/// Whether this can be started as a 64-bit PV kernel at all; `linux`: it is known to be Linux by its bzImage.
/// Error: half a sentence whose subject is the file.
[[nodiscard]] Result<void> check_is_pv(const Elf& elf, bool linux);

/// Fills the address fields of `image` from `elf`. Error: as above.
[[nodiscard]] Result<void> apply_layout(Elf elf, uint64_t max_bytes, KernelImage& image);

/// All checks of what a confined process says of an ELF of `elf_size` bytes, which may be forged; fills what `image`
/// says of the kernel. Error: as above.
[[nodiscard]] Result<void> accept_parsed(ParsedImage parsed, uint64_t elf_size, uint64_t max_bytes, KernelImage& image);

} // namespace parapet::image
