// SPDX-License-Identifier: Apache-2.0
// Serves a domain's xenstore ring on the control thread.
//
// Linux's xb_write() and xb_read() (drivers/xen/xenbus/xenbus_comms.c) store their own index and then load ours without
// a full barrier in between. A processor may do the two the other way round, and the guest then sends no signal
// although the host, who looked meanwhile, saw nothing: both wait for ever. So the host looks once more a moment after
// anything moved.
//
//   signal, output ─▶ pump ─── moved ──▶ (settling time) ──▶ pump ── nothing moved ─▶ until the next signal
//                        ▲                                     │ moved
//                        └─────────────────────────────────────┘
#pragma once

#include "iorings/xenstore/ring_transport.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>

namespace parapet::vmm {

class StoreService {
public:
    /// Far longer than a store stays in a processor's buffer, and short for who waits.
    static constexpr std::chrono::milliseconds settling{1};

    /// `notify` signals the guest's store port. Lives until `io` has stopped for good.
    StoreService(boost::asio::io_context& io, xenstore::RingTransport& ring, std::function<void()> notify);

    /// Moves what can be moved. When the guest signals, and when the connection has output.
    void pump();

private:
    void look_later();

    boost::asio::io_context& io_;
    xenstore::RingTransport& ring_;
    std::function<void()> notify_;
    boost::asio::steady_timer second_look_;
    bool look_due_ = false, moved_since_ = false;
    bool again_due_ = false; ///< one at a time: a guest that keeps its ring busy must not add to the queue
};

} // namespace parapet::vmm
