// SPDX-License-Identifier: Apache-2.0
// What the conformance guests of block devices share. Each names in a comment `needs: disk SIZE KEYWORDS` the disks
// that guests/check makes for it: xvda, xvdb, ... The second half of a disk has its original contents, and must keep
// them.
#pragma once

#include "guests/conformance/check.hpp"
#include "guests/lib/disk_io.hpp"

namespace parapet::guest {

inline constexpr unsigned xvda = 202 << 8, xvdb = 202 << 8 | 16;

/// Skips the test where there is no disk; otherwise it is open and connected, or the test has failed.
bool start_disk(BlockDevice& disk, const BlockOptions& options = {}, unsigned grant_version = 1);
/// Closes it and checks that all grants came back.
void end_disk(BlockDevice& disk);

bool expect_status(int got, int wanted, const char* what);
/// Refused in any way, but answered.
bool expect_error(int got, const char* what);
bool expect_written(BlockDevice& disk, uint64_t sector, unsigned seed, IoBuffer& buffer, unsigned count,
                    unsigned queue = 0);
/// The original contents of `count` pages.
bool expect_original(BlockDevice& disk, uint64_t sector, IoBuffer& buffer, unsigned count);

} // namespace parapet::guest
