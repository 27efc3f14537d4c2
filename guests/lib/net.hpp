// SPDX-License-Identifier: Apache-2.0
// A minimal netfront (xen/io/netif.h): any number of queues, scatter-gather, checksum and segmentation flags as the
// caller wants them. Sending waits for the answer; what is received is copied out of the ring's pages.
#pragma once

#include "guests/lib/abi.hpp"
#include "guests/lib/memory.hpp"
#include "guests/lib/xenbus.hpp"

namespace parapet::guest {

inline constexpr unsigned most_net_queues = 2;
inline constexpr unsigned rx_buffers = 32; ///< of a queue; the largest packet needs 18
inline constexpr unsigned frame_pages = 17;
inline constexpr unsigned most_frame = 65535 + 14;

struct NetOptions {
    unsigned queues = 1;
    bool split_events = false;
    bool scatter = true;
    bool segments = true; ///< feature-gso-tcpv4, -tcpv6
    bool checksum = true; ///< takes packets with blank checksums
};

struct NetOffers {
    bool scatter, gso4, gso6, ipv6_checksum, split_events;
    unsigned queues;
    uint8_t mac[6];
};

/// What a packet has beside its bytes.
struct FrameFlags {
    bool csum_blank = false, validated = false;
    uint16_t gso_size = 0;
    uint8_t gso_type = XEN_NETIF_GSO_TYPE_NONE;
};

/// The bytes of a frame to be sent; its pages are granted while a device uses them.
class TxFrame {
public:
    TxFrame();
    unsigned char* bytes() { return bytes_; }
    unsigned size = 0;
    FrameFlags flags;
    grant_ref_t refs[frame_pages]{};
    void grant();
    bool end_grants();

private:
    unsigned char* bytes_;
};

class NetQueue {
public:
    netif_tx_front_ring_t tx;
    netif_rx_front_ring_t rx;
    evtchn_port_t tx_port, rx_port;

    [[nodiscard]] netif_tx_request_t& next_tx();
    void push_tx();
    void push_rx();
    bool take_tx(netif_tx_response_t& response, unsigned milliseconds = 2'000);
    bool take_rx(netif_rx_response_t& response, unsigned milliseconds);
    /// The buffer whose request stands in slot `index` of the receive ring.
    unsigned char* buffers = nullptr;
    grant_ref_t buffer_refs[rx_buffers]{};
    void offer_buffer();
};

class NetDevice {
public:
    bool open(unsigned id);
    [[nodiscard]] const NetOffers& offers() const { return offers_; }
    bool publish(const NetOptions& options);
    bool connect(const NetOptions& options = {});
    bool close();
    bool reconnect(const NetOptions& options = {}) { return close() && connect(options); }

    /// Posts a packet in pieces of `piece` bytes at most and waits: NETIF_RSP_*, or -100 without an answer.
    int send(TxFrame& frame, unsigned queue = 0, unsigned piece = page_size);
    /// Bytes of the next packet of any queue, copied to `to`; 0: none in time; -1: nonsense in the ring.
    long receive(unsigned char* to, size_t size, FrameFlags& flags, unsigned milliseconds = 2'000);

    NetQueue& queue(unsigned index = 0) { return queues_[index]; }
    [[nodiscard]] unsigned queues() const { return used_queues_; }
    Xenbus bus;

private:
    bool publish_queue(unsigned index, bool split, const char* prefix);
    void read_offers();
    long receive_from(NetQueue& queue, unsigned char* to, size_t size, FrameFlags& flags);

    NetOffers offers_{};
    NetQueue queues_[most_net_queues]{};
    void* rings_[most_net_queues][2]{};
    grant_ref_t ring_refs_[most_net_queues][2]{};
    unsigned used_queues_ = 0;
};

} // namespace parapet::guest
