// SPDX-License-Identifier: Apache-2.0
// What a virtual interface is plugged into: a tap, passt, or a link to another domain. Opened before the process is
// confined; used on the I/O thread, between start() and stop(): while a guest is connected.
#pragma once

#include "backends/devices/device.hpp"
#include "backends/net/frame.hpp"

#include <boost/json/object.hpp>
#include <functional>
#include <string>

namespace parapet::net {

class Endpoint {
public:
    /// Called on the I/O thread.
    struct Events {
        std::function<void(bool up)> carrier;
        std::function<void(const std::string& sentence)> log;
    };

    virtual ~Endpoint() = default;
    Endpoint() = default;
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    [[nodiscard]] virtual std::string describe() const = 0; ///< "tap vif0.0", "user", …
    /// Queues that frames can be received from, each for itself.
    [[nodiscard]] virtual unsigned queues() const { return 1; }
    /// Moves what it has opened into `handover`, and says in the description's "endpoint" what it is.
    virtual void hand_over(devices::Handover& handover) = 0;

    virtual void start(io::IoThread& io, Offloads accepted, Events events) = 0;
    /// Sends in order of the calls; drops what cannot be sent. Any queue number.
    virtual void send(unsigned queue, OutFrame& frame) = 0;
    /// The next frame of a queue below queues(), one at a time: its bytes, if one is at hand; else 0, and
    /// frame.received() later.
    virtual int receive(unsigned queue, InFrame& frame) = 0;
    /// Calls back all frames, then `done` (perhaps at once). Before the next start().
    virtual void stop(std::function<void()> done) = 0;
};

} // namespace parapet::net
