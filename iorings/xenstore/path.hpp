// SPDX-License-Identifier: Apache-2.0
// Paths of nodes: validation, and relative paths made absolute. A canonical path starts with '/', has no empty
// component and no trailing '/' (but "/" itself), and only the characters A-Z a-z 0-9 - / _ @.
#pragma once

#include "iorings/xenstore/permissions.hpp"

#include <string>
#include <string_view>

namespace parapet::xenstore {

/// "/local/domain/N": what relative paths of domain N hang below.
[[nodiscard]] std::string domain_path(DomId domid);

[[nodiscard]] bool is_canonical(std::string_view path);

/// "@releaseDomain" and the like: no nodes, only watched (and given permissions).
[[nodiscard]] inline bool is_special(std::string_view path) {
    return path.starts_with('@');
}

/// The canonical form of a path as `domid` gave it. EINVAL for a bad or over-long one.
[[nodiscard]] Outcome<std::string> canonical_path(DomId domid, std::string_view path);

/// "/" for "/a"; "/" for "/" itself.
[[nodiscard]] std::string_view parent_path(std::string_view path);
[[nodiscard]] std::string_view base_name(std::string_view path);

/// True if `path` is `ancestor` or below it.
[[nodiscard]] bool is_at_or_below(std::string_view ancestor, std::string_view path);

} // namespace parapet::xenstore
