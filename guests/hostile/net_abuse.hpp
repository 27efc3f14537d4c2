// SPDX-License-Identifier: Apache-2.0
// The frame of the guests that abuse a network interface: vif 0 suffers, vif 1 is at the other end of its cable, and a
// disk must never notice. After each abuse vif 0 is connected anew and a frame goes each way.
#pragma once

#include "guests/lib/disk_io.hpp"
#include "guests/lib/frames.hpp"

namespace parapet::guest {

class NetAbuse {
public:
    explicit NetAbuse(const char* name) : name_{name} {}
    /// Connects everything. False: leave with finish().
    bool start();
    __attribute__((format(printf, 3, 4))) bool check(bool ok, const char* format, ...);
    void recover(const char* after);
    void must_stop(const char* after);
    [[nodiscard]] bool stopped() const { return victim.bus.backend_state() != XenbusStateConnected; }
    /// Takes transmit answers until all `requests` are there, or the device has stopped. The last status that was not
    /// NETIF_RSP_NULL.
    int answers(const char* what, unsigned requests);
    int finish();

    NetDevice victim, partner;
    BlockDevice disk;
    TxFrame* frame = nullptr;

private:
    bool passes(NetDevice& from, NetDevice& to, const char* after);
    const char* name_;
    IoBuffer* buffer_ = nullptr;
    unsigned failures_ = 0, seed_ = 1;
    bool skipped_ = false;
};

} // namespace parapet::guest
