// SPDX-License-Identifier: Apache-2.0
// Who may do what with a node: a list of (domain, access), the owner first. The owner and Domain0 may do all; the first
// entry's letter is what domains not listed may do.
#pragma once

#include "iorings/xenstore/errors.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::xenstore {

enum class DomId : std::uint16_t {};
inline constexpr DomId domain0{0};

/// The wire's letters: n, r, w, b.
enum class Access : std::uint8_t { None = 0, Read = 1, Write = 2, Both = 3 };

struct Permission {
    DomId domid{};
    Access access = Access::None;
    friend bool operator==(const Permission&, const Permission&) = default;
};

/// Never empty in a node; front() is the owner.
using Permissions = std::vector<Permission>;

/// True if `domid` has every right in `wanted`.
[[nodiscard]] bool allows(const Permissions& permissions, DomId domid, Access wanted);
[[nodiscard]] bool owns(const Permissions& permissions, DomId domid);

/// "b1" from {1, Both}, and back. EINVAL for anything but a letter of nrwb and a decimal domain number below 0x7FF0.
[[nodiscard]] std::string to_string(const Permission& permission);
[[nodiscard]] Outcome<Permission> parse_permission(std::string_view text);

/// A decimal domain number below DOMID_FIRST_RESERVED (0x7FF0), or DOMID_SELF where `allow_self`. EINVAL otherwise.
[[nodiscard]] Outcome<DomId> parse_domid(std::string_view text, bool allow_self = false);
inline constexpr DomId domid_self{0x7FF0};

} // namespace parapet::xenstore
