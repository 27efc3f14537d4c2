// SPDX-License-Identifier: Apache-2.0
// What a guest may see of a path of its host.
#pragma once

#include <string>
#include <string_view>

namespace parapet {

/// What stands behind the last '/' of a path or URI, slashes at its end aside: "/srv/vm/root.img" is "root.img".
inline std::string base_name(std::string_view path) {
    const std::size_t last = path.find_last_not_of('/');
    path = path.substr(0, last == std::string_view::npos ? 0 : last + 1);
    return std::string{path.substr(path.rfind('/') + 1)}; // npos + 1 is 0
}

} // namespace parapet
