// SPDX-License-Identifier: Apache-2.0
// Guest transmit: takes packets from the ring and sends them from guest memory. A packet in the ring:
//
//   first request {size of all}   [extra: GSO] …   more requests {size of each} …
//      │ NETTXF_extra_info ────────▶ │ MORE ▶         ▲ NETTXF_more_data
//      └───────────────────────────────────────────────┘
#pragma once

#include "backends/net/packet.hpp"
#include "backends/net/timer.hpp"
#include "backends/net/vif_queue.hpp"
#include "iorings/rings/shared_ring.hpp"
#include "pv-abi/netif.hpp"

#include <memory>
#include <vector>

namespace parapet::net {

class TxQueue {
public:
    TxQueue(VifContext& vif, unsigned index, RingEnd end);
    TxQueue(const TxQueue&) = delete;
    TxQueue& operator=(const TxQueue&) = delete;

    /// The guest may have put something.
    void process();
    [[nodiscard]] const RingEnd& end() const { return end_; }

private:
    static constexpr unsigned most_requests = 20; ///< as xen-netback: a frontend that sends more is broken
    static constexpr unsigned budget = 64;        ///< packets of one round

    struct Packet final : OutFrame {
        explicit Packet(TxQueue& q) : queue{q} {}
        void sent(int result) override { queue.finished(*this, result); }
        TxQueue& queue;
        std::array<abi::netif_tx_request, most_requests> requests{};
        std::array<grants::Lease, most_requests> leases{};
        unsigned request_count = 0, lease_count = 0, extras = 0;
        std::uint32_t size = 0; ///< of the frame
        abi::netif_extra_info gso{};
        std::array<std::byte, most_header_bytes> headers{};
    };

    Packet* gather();
    bool gather_extras(Packet& packet);
    bool gather_fragments(Packet& packet);
    bool well_formed(const Packet& packet);
    bool fetch(abi::netif_tx_request& request);
    void launch(Packet& packet);
    bool lease(Packet& packet);
    bool prepare(Packet& packet);
    void finished(Packet& packet, int result);
    void respond(Packet& packet, int status);
    Packet& fresh();
    bool broken(const std::string& why);

    VifContext& vif_;
    unsigned index_;
    RingEnd end_;
    rings::SharedRing<abi::netif_tx_request, abi::netif_tx_response> ring_;
    std::vector<std::unique_ptr<Packet>> packets_;
    std::vector<Packet*> free_;
    Packet* held_ = nullptr; ///< waits for credit
    Timer credit_timer_;
    bool publish_due_ = false, again_due_ = false;
};

} // namespace parapet::net
