// SPDX-License-Identifier: Apache-2.0
// Validation of whole page tables, used by frame_types.cpp alone.
#pragma once

#include "hypercall-emu/core/mm.hpp"

namespace parapet::nucleus {

/// Take every reference that the entries of a table of `type` need. On failure none is kept. -XEN_EINVAL.
[[nodiscard]] Status validate_table(Vcpu& vcpu, Mfn mfn, FrameType type);
/// Release what validate_table and update_entry took.
void invalidate_table(Vcpu& vcpu, Mfn mfn, FrameType type);

} // namespace parapet::nucleus
