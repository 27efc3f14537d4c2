// SPDX-License-Identifier: Apache-2.0
// One connection of a frontend: from the rings that it named until it lets go. On the I/O thread.
#pragma once

#include "backends/net/rx_queue.hpp"
#include "backends/net/tx_queue.hpp"
#include "backends/net/vif_queue.hpp"

#include <memory>
#include <vector>

namespace parapet::net {

/// What the frontend says of one queue.
struct QueueNodes {
    std::uint32_t tx_ring = 0, rx_ring = 0;
    std::uint32_t tx_port = 0, rx_port = 0; ///< the same: one event channel for both
};

class VifConnection : public std::enable_shared_from_this<VifConnection> {
public:
    struct Events {
        std::function<void(const std::string& why)> fail;
        Endpoint::Events endpoint;
    };
    VifConnection(io::IoThread& io, grants::HostGrants& grants, Endpoint& endpoint, VifCounters& counters,
                  FrontendFeatures features, const std::optional<VifRate>& rate, Events events);
    VifConnection(const VifConnection&) = delete;
    VifConnection& operator=(const VifConnection&) = delete;

    /// Takes the rings and begins. An Error leaves nothing taken.
    Result<void> open(const std::vector<QueueNodes>& queues);
    /// Lets go of everything; `done` when no guest memory is in use any more. Once.
    void close(std::function<void()> done);

private:
    struct Queue {
        Queue(VifContext& vif, unsigned index, RingEnd tx_end, RingEnd rx_end)
            : tx{vif, index, tx_end}, rx{vif, index, rx_end} {}
        TxQueue tx;
        RxQueue rx;
    };

    Result<void> add(const QueueNodes& nodes, unsigned index);
    Result<grants::Lease> ring_page(std::uint32_t ref, const char* which);
    void bind(std::size_t index);
    void receive(std::size_t index);
    void release();

    VifContext vif_;
    Endpoint::Events endpoint_events_;
    std::vector<std::unique_ptr<Queue>> queues_;
    std::shared_ptr<void> queues_alive_ = std::make_shared<char>(); ///< VifContext::alive
};

} // namespace parapet::net
