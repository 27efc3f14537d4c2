// SPDX-License-Identifier: Apache-2.0
// Reads a stranger's kernel where its data can do no harm: in a process of its own that can do nothing but compute.
//
//   this process --fork--> child: of the descriptors the kernel's file, to read; no capabilities; limits, seccomp: that
//        ^                   |    file, memory of its own, and the end
//        |                   | parses and decompresses
//        +-- shared memory, and how much of it; looked at when the child has ended, so nobody changes it then
#pragma once

#include <functional>

#include "support/filter_text.hpp"
#include "support/result.hpp"
#include "vmm/image/decompress.hpp"

namespace parapet::image {

/// What runs in the child. Beside `out` it may leave something in other shared memory (Mapping::reserve_shared()).
using ConfinedWork = std::function<Decoded(Output& out)>;

/// `out` is one of Output::reserve_shared(). `file`: what the child may preadv() from, or -1. Error: a sentence's end
/// whose subject is the file ("cannot be read: ..."), where the child could not be confined, or did not end as it
/// should. Whatever it left is what hostile data wants it to be.
[[nodiscard]] Result<Decoded> decode_confined(const ConfinedWork& work, int file, Output& out);

/// What that process may call.
[[nodiscard]] FilterText decoder_filter_text();

} // namespace parapet::image
