// SPDX-License-Identifier: Apache-2.0
// The command lines of the verbs that command running domains.
#pragma once

#include "tools/parapet/options.hpp"

namespace parapet::cli {

[[nodiscard]] bool is_control_verb(const std::string& verb);

/// `words`: what follows the verb. Precondition: is_control_verb(verb).
Result<Invocation> parse_control(const std::string& verb, const std::vector<std::string>& words);

} // namespace parapet::cli
