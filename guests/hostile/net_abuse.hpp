// SPDX-License-Identifier: Apache-2.0
// The frame of the guests that abuse a network interface: vif 0 suffers, vif 1 is at the other end of its cable, and a
// disk must never notice. After each abuse vif 0 is connected anew and a frame goes each way.
#pragma once

#include "guests/hostile/findings.hpp"
#include "guests/lib/disk_io.hpp"
#include "guests/lib/frames.hpp"

namespace parapet::guest {

class NetAbuse : public Findings {
public:
    using Findings::Findings;
    /// Connects everything. False: leave with finish().
    bool start();
    void recover(const char* after);
    void must_stop(const char* after);
    [[nodiscard]] bool stopped() const { return victim.bus.backend_state() != XenbusStateConnected; }
    /// Takes transmit answers until all `requests` are there, or the device has stopped. The last status that was not
    /// NETIF_RSP_NULL.
    int answers(const char* what, unsigned requests);

    NetDevice victim, partner;
    BlockDevice disk;
    TxFrame* frame = nullptr;

private:
    bool passes(NetDevice& from, NetDevice& to, const char* after);
    IoBuffer* buffer_ = nullptr;
    unsigned seed_ = 1;
};

} // namespace parapet::guest
