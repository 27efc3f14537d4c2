// SPDX-License-Identifier: Apache-2.0
// Validation and arithmetic of node paths.
#include "iorings/xenstore/path.hpp"
#include "pv-abi/xenstore.hpp"

#include <algorithm>

namespace parapet::xenstore {
namespace {

bool valid_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '/' ||
           c == '_' || c == '@';
}

} // namespace

std::string domain_path(DomId domid) {
    return "/local/domain/" + std::to_string(static_cast<unsigned>(domid));
}

bool is_canonical(std::string_view path) {
    if (!path.starts_with('/') || path.size() > abi::XENSTORE_ABS_PATH_MAX)
        return false;
    if (path.size() > 1 && path.ends_with('/'))
        return false;
    return path.find("//") == std::string_view::npos && std::all_of(path.begin(), path.end(), valid_character);
}

Outcome<std::string> canonical_path(DomId domid, std::string_view path) {
    std::string absolute{path};
    if (!path.starts_with('/')) {
        if (is_special(path) || path.size() > abi::XENSTORE_REL_PATH_MAX)
            return Errno::EINVAL_;
        absolute = domain_path(domid) + '/' + absolute;
    }
    if (!is_canonical(absolute))
        return Errno::EINVAL_;
    return absolute;
}

std::string_view parent_path(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == 0 || slash == std::string_view::npos ? std::string_view{"/"} : path.substr(0, slash);
}

std::string_view base_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

bool is_at_or_below(std::string_view ancestor, std::string_view path) {
    if (ancestor == "/")
        return path.starts_with('/');
    return path.starts_with(ancestor) && (path.size() == ancestor.size() || path[ancestor.size()] == '/');
}

} // namespace parapet::xenstore
