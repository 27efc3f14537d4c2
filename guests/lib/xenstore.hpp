// SPDX-License-Identifier: Apache-2.0
// The least of a xenstore client: write one node over the store ring.
#pragma once

namespace parapet::guest {

/// Writes `value` to `path` (relative to the domain's home). False where there is no store, or it refused or is silent.
bool xenstore_write(const char* path, const char* value);

} // namespace parapet::guest
