// SPDX-License-Identifier: Apache-2.0
// Tells the outside (a single-stepping VMM, a trace) where the measured operation begins and ends.
#pragma once

namespace parapet::guest::bench {

/// The last thing before and the first thing after the operation.
void marker_begin(const char* name);
void marker_end(const char* name);

} // namespace parapet::guest::bench
