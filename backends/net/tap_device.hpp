// SPDX-License-Identifier: Apache-2.0
// Making and opening tap interfaces: what takes rights and happens before the process is confined.
#pragma once

#include "support/result.hpp"
#include "support/unique_fd.hpp"

#include <optional>
#include <string>
#include <vector>

namespace parapet::net {

struct TapOptions {
    std::string name; ///< empty: the kernel chooses
    bool exists = false;
    std::string bridge; ///< empty: none
    std::optional<unsigned> mtu;
    unsigned queues = 1;
};

struct TapDevice {
    std::string name;
    std::vector<UniqueFd> queues; ///< one descriptor each, with frames behind a virtio_net_hdr of 10 bytes
};

Result<TapDevice> open_tap(const TapOptions& options);

} // namespace parapet::net
