// SPDX-License-Identifier: Apache-2.0
// Locks the calling process up with a disk image that it may read and nothing that it may write but what is open.
//
//   rlimits       memory, processor time, size of what it writes, number of descriptors
//   capabilities  none, but reading the image where only root may
//   Landlock      files: /usr and /lib, to load the reader, and the image; elsewhere names only (where the kernel
//                 has it: Linux 5.13)
//   seccomp       no opening for writing, no sockets, no signals to others, no execution but of the one program
//
// The reader runs with the same limits and, in addition, can start nothing.
#pragma once

#include "support/result.hpp"

#include <cstdint>
#include <string>

namespace parapet::bootdisk {

/// The descriptor from which the reader's program is executed. It is beyond the limit on descriptors, so once the
/// program runs (it is close-on-exec) nothing can be opened there again.
inline constexpr int program_fd = 300;
inline constexpr unsigned max_descriptors = 64;

struct Limits {
    std::uint64_t memory_bytes = 1ULL << 30;
    std::uint64_t output_bytes = 1ULL << 30; ///< of one file
    unsigned cpu_seconds = 30;
};

/// For good; of this process and all that it starts. `image`: the only file that it may still read.
Result<void> confine(const std::string& image, const Limits& limits);

/// To be called between fork and the execution of program_fd.
Result<void> confine_program();

} // namespace parapet::bootdisk
