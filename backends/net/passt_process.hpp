// SPDX-License-Identifier: Apache-2.0
// passt: the host's network for a guest, without any right. It ends by itself when our end of its socket is closed, by
// whatever way our process goes; so it belongs to whoever holds the socket, also after `parapet attach` gave it away.
#pragma once

#include "backends/net/vif_spec.hpp"
#include "support/unique_fd.hpp"

#include <string>
#include <vector>

namespace parapet::net {

/// passt's command line, but for the socket. `default_route`: has the host one? Without, the guest gets a network of
/// its own (10.0.2.0/24), in which 10.0.2.2 is the host.
[[nodiscard]] std::vector<std::string> passt_arguments(const VifSpec& spec, bool default_route);

/// The sentence that passt said last, of all that it wrote to standard error.
[[nodiscard]] std::string passt_complaint(const std::string& output);

/// Starts it, and waits until it serves (its ports are bound): the connected stream socket.
Result<UniqueFd> start_passt(const VifSpec& spec);

} // namespace parapet::net
