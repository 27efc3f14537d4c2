// SPDX-License-Identifier: Apache-2.0
// Serves a guest's xenstore ring page (xenstore_domain_interface: 1 KiB of requests, 1 KiB of replies, their indices).
// The page is the guest's to scribble on at any time: what the host owns (req_cons, rsp_prod) is kept here and only
// written to the page, what the guest owns is read once per pump and checked.
#pragma once

#include "iorings/xenstore/connection.hpp"
#include "pv-abi/xenstore.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace parapet::xenstore {

struct PumpResult {
    bool notify = false; ///< bytes were taken or given, or the connection's state changed: signal the guest's port
    bool again = false;  ///< the guest is faster than this call's bound: pump again soon, no signal will say so
};

class RingTransport {
public:
    using Log = std::function<void(std::string_view)>;

    /// `page` is the guest's 4 KiB store page, aligned to 4 bytes at least, mapped as long as the transport lives. Its
    /// control words are initialised here, so build this before the guest runs. `log` gets one sentence when the
    /// connection breaks.
    RingTransport(Connection& connection, void* page, Log log = {});

    /// Moves what can be moved in both directions, and serves a request to reconnect. Never blocks, and is bounded
    /// however busily the guest adds work. Call it when the guest signals, and when the connection's output listener
    /// fires.
    [[nodiscard]] PumpResult pump();

    /// The guest set impossible indices or spoke nonsense; nothing moves until it reconnects.
    [[nodiscard]] bool broken() const { return broken_; }

private:
    bool take_requests();
    bool give_replies();
    bool reconnect_if_asked();
    void mark_broken(std::uint32_t error, std::string_view why);

    Connection& connection_;
    abi::xenstore_domain_interface* page_;
    Log log_;
    std::uint32_t req_cons_ = 0;
    std::uint32_t rsp_prod_ = 0;
    bool broken_ = false;
};

} // namespace parapet::xenstore
