// SPDX-License-Identifier: Apache-2.0
// A guest's crash as text for people.
#pragma once

#include "pv-abi/doorbell.hpp"

#include <string>

namespace parapet::vmm {

/// `report` is a private copy: nothing in it is trusted to be in range.
[[nodiscard]] std::string format_crash(const doorbell::CrashReport& report, bool nucleus_bug);

} // namespace parapet::vmm
