// SPDX-License-Identifier: Apache-2.0
// fstat() for confined processes. The C library's calls newfstatat() with an empty path, which a seccomp filter cannot
// tell from any other path; this is the system call that takes none.
#pragma once

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace parapet {

/// As fstat(): 0, or -1 and errno. (On x86-64 the kernel's struct stat is the C library's.)
inline int status_of(int fd, struct stat& status) {
    return static_cast<int>(::syscall(SYS_fstat, fd, &status));
}

} // namespace parapet
