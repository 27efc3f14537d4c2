// SPDX-License-Identifier: Apache-2.0
// Guests that have the machine-to-physical table's address compiled in (Mini-OS, and what is built from it), rather
// than asking for it (XENMEM_machphys_mapping) as Linux does.
#pragma once

#include "support/result.hpp"
#include "vmm/image/xen_notes.hpp"
#include "vmm/substrate.hpp"

namespace parapet::vmm {

/// An error, with the way out, where this substrate has the table elsewhere and the kernel says that it is such a
/// guest.
[[nodiscard]] Result<void> check_fixed_m2p(const image::XenNotes& notes, const Substrate& substrate);

} // namespace parapet::vmm
