// SPDX-License-Identifier: Apache-2.0
// A domain's universally unique identifier (RFC 4122, version 4).
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace parapet::vmm {

using Uuid = std::array<std::uint8_t, 16>;

[[nodiscard]] Uuid random_uuid();
[[nodiscard]] std::string uuid_text(const Uuid& bytes);

} // namespace parapet::vmm
