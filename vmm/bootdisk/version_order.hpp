// SPDX-License-Identifier: Apache-2.0
// The order of version texts, as the UAPI group's "Version Format Specification" has it.
#pragma once

#include <string_view>

namespace parapet::bootdisk {

/// Below 0: `a` is older. Digits by value, letters by ASCII; "~" is before the end of the text, "-", "^" and "." after
/// it in this order; all other characters only separate.
int compare_versions(std::string_view a, std::string_view b);

} // namespace parapet::bootdisk
