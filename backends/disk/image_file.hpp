// SPDX-License-Identifier: Apache-2.0
// An opened and locked raw image: a regular file or a block device.
//
// Two descriptors, where direct I/O is possible: one with O_DIRECT, and one without for what direct I/O does not take
// (parts of the storage's blocks, odd addresses). The kernel keeps the two coherent: a direct read writes back what
// is dirty in the page cache first, a direct write drops it.
//
// The lock is on the first descriptor's open file description (F_OFD_SETLK), over the whole file: it moves with the
// descriptor to another process and goes with its last copy, however that process ends. QEMU's locks exclude it, too.
#pragma once

#include "backends/disk/disk_spec.hpp"
#include "backends/disk/disk_target.hpp"
#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace parapet::disk {

struct ImageFile {
    std::string path;  ///< as the user wrote it
    UniqueFd main;     ///< has the lock; O_DIRECT if `direct`
    UniqueFd buffered; ///< without O_DIRECT; only if `direct`
    bool direct = false;
    bool block_device = false;
    bool remote = false;              ///< on a file system whose server may be gone
    std::uint32_t device_block = 512; ///< bytes; a block device's own sectors, of a file the least
    std::uint32_t offset_alignment = 512, memory_alignment = 512; ///< of direct I/O
    Geometry geometry;
    std::string note; ///< what the user may want to know: "no direct I/O on this file system"
};

/// Opens, locks and measures. The errors are for the user: missing, in use, read-only, another format.
Result<ImageFile> open_image(const DiskSpec& spec);

/// The file's length now; `before`: what it was when last looked at. Where the file is remote, by what the kernel
/// knows: its server is asked only when that has changed, so that one that is gone holds up nobody. (A change by a
/// multiple of 4 GiB is seen there with the next other one.) Nothing: it cannot be told. Allowed in the confined
/// process.
std::optional<std::uint64_t> length_of(const ImageFile& image, std::uint64_t before);

/// Measures what another process has opened: `direct` and the like are found out anew.
Result<ImageFile> adopt_image(std::string path, UniqueFd main, UniqueFd buffered);

} // namespace parapet::disk
