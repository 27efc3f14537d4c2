// SPDX-License-Identifier: Apache-2.0
// The JSON objects of the control protocol (docs/control.md): {"version": 1, "request": VERB, ...} from the client;
// {"version": 1, "ok": true, ...} or {"version": 1, "error": SENTENCE} from the domain; {"version": 1, "ended": ...}
// when it is over.
#pragma once

#include "support/result.hpp"

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace parapet::vmm::control {

inline constexpr int protocol_version = 1;

/// An object of our version, or a sentence.
[[nodiscard]] Result<boost::json::object> parse_message(std::string_view text);
[[nodiscard]] std::string format_message(boost::json::object object);

// Members of another process's object; nothing where it is missing or of another type.

[[nodiscard]] std::optional<std::string> text_member(const boost::json::object& object, std::string_view name);
[[nodiscard]] std::optional<std::uint64_t> number_member(const boost::json::object& object, std::string_view name);
[[nodiscard]] bool flag_member(const boost::json::object& object, std::string_view name, bool otherwise = false);

} // namespace parapet::vmm::control
