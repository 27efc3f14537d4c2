// SPDX-License-Identifier: Apache-2.0
// Runs a decoder where hostile data can do no harm: in a process of its own that can do nothing but compute.
//
//   this process --fork--> child: no descriptors, capabilities; limits, seccomp: memory of its own, and the end
//        ^                   | decodes what it has of this process's memory
//        +-- output (shared memory) and how much of it; looked at when the child has ended, so nobody changes it then
#pragma once

#include <cstddef>
#include <span>

#include "support/result.hpp"
#include "vmm/image/decompress.hpp"

namespace parapet::image {

/// `out` is one of Output::reserve_shared(). Error: a sentence's end whose subject is the file ("cannot be
/// decompressed: ..."), where the child could not be confined, or did not end as a decoder does.
[[nodiscard]] Result<Decoded> decode_confined(Decoder decode, std::span<const std::byte> in, Output& out);

} // namespace parapet::image
