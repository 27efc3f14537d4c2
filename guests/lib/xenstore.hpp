// SPDX-License-Identifier: Apache-2.0
// A small xenstore client: one request at a time over the store ring, no transactions. Paths are absolute or relative
// to the domain's home.
#pragma once

#include <cstddef>
#include <cstdint>

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// Each is false where there is no store, or it refused or is silent.
bool xenstore_write(const char* path, const char* value);
bool xenstore_write_number(const char* path, uint64_t value);
bool xenstore_remove(const char* path);
/// `value` is cut off at `size` and ends with a NUL.
bool xenstore_read(const char* path, char* value, size_t size);
/// A decimal number; `otherwise` where there is none.
uint64_t xenstore_read_number(const char* path, uint64_t otherwise);
/// Names below `path`, each with a NUL at its end; `length`: of all together, cut off at `size`.
bool xenstore_list(const char* path, char* names, size_t size, size_t& length);

/// This domain's number: 0 for the initial domain, else what the store says.
domid_t own_domid();

/// Digits at the start of `text`.
uint64_t parse_number(const char* text, uint64_t otherwise);

} // namespace parapet::guest
