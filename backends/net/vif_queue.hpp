// SPDX-License-Identifier: Apache-2.0
// What the two halves of a queue, guest transmit and guest receive, have in common.
#pragma once

#include "backends/net/counters.hpp"
#include "backends/net/credit.hpp"
#include "backends/net/endpoint.hpp"

#include <functional>
#include <memory>
#include <string>

namespace parapet::net {

/// What a frontend told of itself.
struct FrontendFeatures {
    bool scatter = false; ///< it takes frames of several fragments
    bool rx_notify = false;
    Offloads offloads;
};

/// One connection of a frontend, as its queues see it. On the I/O thread.
struct VifContext {
    io::IoThread& io;
    grants::HostGrants& grants;
    Endpoint& endpoint;
    VifCounters& counters;
    FrontendFeatures features;
    Credit credit; ///< of all queues together
    std::function<void(const std::string& why)> fail;
    bool stopped = false;        ///< no more ring is looked at
    std::weak_ptr<void> alive{}; ///< for what is deferred: the queues are
};

/// Runs `what` at the end of the round, if the queues are still there then.
template <typename What>
void defer(VifContext& vif, What what) {
    vif.io.defer([alive = vif.alive, what = std::move(what)] {
        if (const auto held = alive.lock()) {
            what();
        }
    });
}

/// Likewise in a later round: others have their turn before.
template <typename What>
void later(VifContext& vif, What what) {
    vif.io.post([alive = vif.alive, what = std::move(what)] {
        if (const auto held = alive.lock()) {
            what();
        }
    });
}

/// A ring's page and its event channel.
struct RingEnd {
    grants::Lease page;
    std::uint32_t port = 0;
};

} // namespace parapet::net
