// SPDX-License-Identifier: Apache-2.0
// What the helper connects to, again and again: a server that somebody runs, or a qemu-nbd of our own.
#pragma once

#include "backends/nbd/helper/session.hpp"
#include "backends/nbd/helper/settings.hpp"

#include <memory>
#include <optional>
#include <poll.h>
#include <string>

namespace parapet::nbd {

class Server {
public:
    virtual ~Server() = default;
    /// Begins a connection. No session: not yet (the last one is still ending); ask again soon.
    virtual Result<std::unique_ptr<Session>> connect() = 0;
    /// One sentence on why a first connection failed, given the session's own words.
    virtual std::string explain(const std::string& error) = 0;
    /// What to poll for, beside the session. fd -1: nothing.
    [[nodiscard]] virtual pollfd wish() const { return {-1, 0, 0}; }
    virtual void serve(short events) { (void)events; }
    /// After the last session has gone: true as soon as nothing of it is left.
    virtual bool ended() { return true; }
};

std::unique_ptr<Server> remote_server(const Settings& settings);
std::unique_ptr<Server> qemu_server(const Settings& settings);

} // namespace parapet::nbd
