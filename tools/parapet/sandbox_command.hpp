// SPDX-License-Identifier: Apache-2.0
// `parapet doctor --sandbox`.
#pragma once

namespace parapet::cli {

/// Prints what each process of a domain may call. Returns the exit status.
int print_sandbox(bool json);

} // namespace parapet::cli
