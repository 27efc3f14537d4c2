// SPDX-License-Identifier: Apache-2.0
// The texts of `parapet help`.
#pragma once

#include <string>
#include <string_view>

namespace parapet::cli {

inline constexpr std::string_view version_text = "parapet 0.1.0\n";

/// `topic`: empty for the overview, or a verb. Empty when there is no such topic.
std::string_view help_text(std::string_view topic);

/// The verb that `word` was probably meant to be, or empty.
std::string_view similar_verb(std::string_view word);

} // namespace parapet::cli
