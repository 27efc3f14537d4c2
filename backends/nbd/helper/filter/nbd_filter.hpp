// SPDX-License-Identifier: Apache-2.0
// What the helper may call. Apart from the helper, which links libnbd, so that `parapet doctor` can print it.
#pragma once

#include "support/filter_text.hpp"
#include "support/seccomp_filter.hpp"

#include <vector>

namespace parapet::nbd {

/// Of a remote disk's helper.
[[nodiscard]] SeccompFilter client_filter();
/// Of a local image's helper and the qemu-nbd that inherits it.
[[nodiscard]] SeccompFilter qemu_filter();
/// Both in words.
[[nodiscard]] std::vector<FilterText> filter_texts();

} // namespace parapet::nbd
