// SPDX-License-Identifier: Apache-2.0
#include "backends/net/vif_connection.hpp"

namespace parapet::net {

VifConnection::VifConnection(io::IoThread& io, grants::HostGrants& grants, Endpoint& endpoint, VifCounters& counters,
                             FrontendFeatures features, const std::optional<VifRate>& rate, Events events)
    : vif_{.io = io,
           .grants = grants,
           .endpoint = endpoint,
           .counters = counters,
           .features = features,
           .credit = Credit{rate},
           .fail = std::move(events.fail)},
      endpoint_events_{std::move(events.endpoint)} {}

Result<void> VifConnection::open(const std::vector<QueueNodes>& queues) {
    vif_.alive = queues_alive_;
    for (const QueueNodes& nodes : queues) {
        for (const std::uint32_t port : {nodes.tx_port, nodes.rx_port}) {
            if (!vif_.io.port_is_free(port)) {
                return Error{"the frontend's event channel " + std::to_string(port) + " is in use already"};
            }
        }
    }
    for (unsigned i = 0; i < queues.size(); ++i) {
        if (auto added = add(queues[i], i); !added) {
            release();
            return added;
        }
    }
    vif_.endpoint.start(vif_.io, vif_.features.offloads, std::move(endpoint_events_));
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        bind(i);
    }
    return {};
}

Result<grants::Lease> VifConnection::ring_page(std::uint32_t ref, const char* which) {
    grants::Lease page;
    const auto status = vif_.grants.take(grants::GrantRef{ref}, grants::GrantAccess::write, page);
    if (status != grants::GrantStatus::okay) {
        return Error{std::string{"the frontend's "} + which + "-ring-ref " + std::to_string(ref) +
                     " is refused: " + grants::describe(status)};
    }
    if (page.first != 0 || page.end != GuestFrames::frame_size) {
        vif_.grants.give_back(page);
        return Error{std::string{"the frontend's "} + which + "-ring-ref grants only a part of a page"};
    }
    return page;
}

Result<void> VifConnection::add(const QueueNodes& nodes, unsigned index) {
    const auto tx = ring_page(nodes.tx_ring, "tx");
    if (!tx) {
        return tx.error();
    }
    const auto rx = ring_page(nodes.rx_ring, "rx");
    if (!rx) {
        vif_.grants.give_back(*tx);
        return rx.error();
    }
    queues_.push_back(std::make_unique<Queue>(vif_, index, RingEnd{*tx, nodes.tx_port}, RingEnd{*rx, nodes.rx_port}));
    return {};
}

/// Frames come from the endpoint to the first queues only, if it has fewer.
void VifConnection::receive(std::size_t index) {
    if (index < vif_.endpoint.queues()) {
        queues_[index]->rx.pump();
    }
}

void VifConnection::bind(std::size_t index) {
    Queue& queue = *queues_[index];
    const std::uint32_t tx_port = queue.tx.end().port, rx_port = queue.rx.end().port;
    vif_.io.bind_port(tx_port, [this, &queue, index, both = tx_port == rx_port] {
        queue.tx.process();
        if (both) {
            receive(index);
        }
    });
    if (rx_port != tx_port) {
        vif_.io.bind_port(rx_port, [this, index] { receive(index); });
    }
    queue.tx.process(); // what it said before we listened
    receive(index);
}

void VifConnection::close(std::function<void()> done) {
    vif_.stopped = true;
    for (const auto& queue : queues_) {
        vif_.io.unbind_port(queue->tx.end().port);
        vif_.io.unbind_port(queue->rx.end().port);
    }
    vif_.endpoint.stop([this, self = shared_from_this(), done = std::move(done)] {
        // Packets that were called back have answered just now: after that, the pages go.
        vif_.io.defer([this, self, done] {
            release();
            done();
        });
    });
}

void VifConnection::release() {
    for (const auto& queue : queues_) {
        queue->rx.release();
        vif_.grants.give_back(queue->tx.end().page);
        vif_.grants.give_back(queue->rx.end().page);
    }
    queues_alive_.reset();
    queues_.clear();
}

} // namespace parapet::net
