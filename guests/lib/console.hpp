// SPDX-License-Identifier: Apache-2.0
// Text output: the console ring of an unprivileged domain, console_io of an initial domain.
#pragma once

#include <cstdarg>
#include <cstddef>

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// Finds the console of this domain. Until then output goes to console_io.
void console_init(const start_info_t& info);

void console_write(const char* text, size_t length);

/// Waits until the other end has taken everything, at most `milliseconds`.
void console_drain(unsigned milliseconds);

/// Formatted output: %s %c %d %u %x %p %%, with `l` and a width, `0` to pad with zeros and `-` to pad on the right.
__attribute__((format(printf, 1, 2))) void print(const char* format, ...);

/// The same into a buffer; always ends it with a NUL. Returns the length written.
__attribute__((format(printf, 3, 4))) size_t print_to(char* buffer, size_t size, const char* format, ...);

size_t print_to_list(char* buffer, size_t size, const char* format, va_list& arguments);

} // namespace parapet::guest
