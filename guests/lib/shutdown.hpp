// SPDX-License-Identifier: Apache-2.0
// Ends the domain.
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// Drains the console, then SCHEDOP_shutdown with one of SHUTDOWN_poweroff, _reboot, _crash.
[[noreturn]] void shutdown(unsigned reason);

} // namespace parapet::guest
