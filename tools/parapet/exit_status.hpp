// SPDX-License-Identifier: Apache-2.0
// The exit statuses of the `parapet` command.
#pragma once

namespace parapet::cli {

inline constexpr int exit_powered_off = 0; ///< Or the decimal that the guest wrote to its xenstore node data/exit-code.
inline constexpr int exit_failed = 1;      ///< The domain could not start, or the host failed.
inline constexpr int exit_usage = 2;
inline constexpr int exit_crashed = 3;  ///< The guest crashed.
inline constexpr int exit_rebooted = 4; ///< The guest rebooted under --no-reboot.
inline constexpr int exit_timeout = 124;

} // namespace parapet::cli
