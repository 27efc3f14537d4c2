// SPDX-License-Identifier: Apache-2.0
// Locks the processes up that read a disk image: nothing that they may write but what is open.
//
//   finder        parses configurations; opens, starts and signals nothing (confine(), confine_finder())
//   runner        starts the reader for it, and kills it (confine(), confine_runner()); hears nothing of the image
//   reader        grub-fstest, with the runner's confinement; starts nothing (confine_program())
//
// All of them:
//   rlimits       memory, processor time, size of what they write, number of descriptors
//   capabilities  none, but reading the image where only root may; not dumpable, no core file
//   Landlock      files: /usr and /lib, to load the reader, and the image; elsewhere names only; executing the reader
//                 and its loader (where the kernel has it: Linux 5.13). The finder: no file
//   seccomp       no opening for writing, no sockets but what is open, no execution but of the one program
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

/// What all have in common: for good; of this process and all that it starts. `image`: the only file that it may still
/// read. The program is open at program_fd.
Result<void> confine(const std::string& image, const Limits& limits);

/// seccomp of the runner. The empty path with which alone it may execveat() program_fd: at no other address.
Result<const char*> confine_runner();

/// seccomp and Landlock of the finder.
Result<void> confine_finder();

/// seccomp of the reader, between fork and the execution of program_fd, beside the runner's.
Result<void> confine_program();

} // namespace parapet::bootdisk
