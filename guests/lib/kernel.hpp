// SPDX-License-Identifier: Apache-2.0
// What every guest starts with, and what it must define: guest_main().
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

/// The program of a guest. Its result becomes the xenstore node data/exit-code (unprivileged domains) before power-off.
int guest_main();

[[nodiscard]] start_info_t& start_info();
[[nodiscard]] bool is_initial_domain();

[[nodiscard]] bool shared_info_mapped();
[[nodiscard]] shared_info_t& shared_info();
[[nodiscard]] inline vcpu_info_t& this_vcpu() {
    return shared_info().vcpu_info[0];
}

/// Value of the command line's word `name=value`, copied; false where it is missing. A bare `name` has the value "".
bool command_line_value(const char* name, char* value, size_t size);
/// The same as a decimal number, or `otherwise`.
uint64_t command_line_number(const char* name, uint64_t otherwise);

} // namespace parapet::guest
