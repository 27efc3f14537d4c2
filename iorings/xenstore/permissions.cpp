// SPDX-License-Identifier: Apache-2.0
// Evaluation and text form of node permissions.
#include "iorings/xenstore/permissions.hpp"
#include "pv-abi/types.hpp"

#include <charconv>

namespace parapet::xenstore {

bool owns(const Permissions& permissions, DomId domid) {
    return domid == domain0 || (!permissions.empty() && permissions.front().domid == domid);
}

bool allows(const Permissions& permissions, DomId domid, Access wanted) {
    if (owns(permissions, domid))
        return true;
    if (permissions.empty())
        return false;
    Access granted = permissions.front().access;
    for (std::size_t i = 1; i < permissions.size(); ++i) {
        if (permissions[i].domid == domid) {
            granted = permissions[i].access;
            break;
        }
    }
    const auto need = static_cast<unsigned>(wanted);
    return (static_cast<unsigned>(granted) & need) == need;
}

std::string to_string(const Permission& permission) {
    return "nrwb"[static_cast<unsigned>(permission.access) & 3] +
           std::to_string(static_cast<unsigned>(permission.domid));
}

Outcome<DomId> parse_domid(std::string_view text, bool allow_self) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size())
        return Errno::EINVAL_;
    if (number < abi::DOMID_FIRST_RESERVED || (allow_self && number == abi::DOMID_SELF))
        return static_cast<DomId>(number);
    return Errno::EINVAL_;
}

Outcome<Permission> parse_permission(std::string_view text) {
    if (text.empty())
        return Errno::EINVAL_;
    const auto letter = std::string_view{"nrwb"}.find(text.front());
    if (letter == std::string_view::npos)
        return Errno::EINVAL_;
    const auto domid = parse_domid(text.substr(1));
    if (!domid.ok())
        return domid.error();
    return Permission{*domid, static_cast<Access>(letter)};
}

} // namespace parapet::xenstore
