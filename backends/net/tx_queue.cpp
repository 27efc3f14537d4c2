// SPDX-License-Identifier: Apache-2.0
#include "backends/net/tx_queue.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::net {

using Fetch = rings::SharedRing<abi::netif_tx_request, abi::netif_tx_response>::Fetch;

namespace {

constexpr std::size_t page_bytes = GuestFrames::frame_size;
constexpr unsigned most_extras = 8;

/// Copies the first bytes of a frame that lies in `parts` to `to`.
std::size_t copy_front(const iovec* parts, unsigned count, std::span<std::byte> to) {
    std::size_t done = 0;
    for (unsigned i = 0; i < count && done < to.size(); ++i) {
        const std::size_t part = std::min(parts[i].iov_len, to.size() - done);
        std::memcpy(&to[done], parts[i].iov_base, part);
        done += part;
    }
    return done;
}

} // namespace

TxQueue::TxQueue(VifContext& vif, unsigned index, RingEnd end)
    : vif_{vif}, index_{index}, end_{end}, ring_{rings::RingPages{{end.page.page}}} {}

bool TxQueue::broken(const std::string& why) {
    vif_.stopped = true;
    vif_.fail("the frontend's transmit ring is broken: " + why);
    return false;
}

void TxQueue::process() {
    unsigned packets = 0;
    while (!vif_.stopped) {
        Packet* packet = held_ != nullptr ? std::exchange(held_, nullptr) : gather();
        if (packet == nullptr) {
            if (vif_.stopped || !ring_.final_check()) {
                return;
            }
            continue;
        }
        const auto now = Credit::Clock::now();
        if (!vif_.credit.spend(now, packet->size, this)) {
            held_ = packet;
            credit_timer_.start(vif_.io, vif_.credit.wait(now), [this] { process(); });
            return;
        }
        launch(*packet);
        if (++packets == budget) {
            if (!again_due_) {
                again_due_ = true;
                later(vif_, [this] {
                    again_due_ = false;
                    process();
                });
            }
            return;
        }
    }
}

bool TxQueue::fetch(abi::netif_tx_request& request) {
    switch (ring_.fetch(request)) {
    case Fetch::request:
        return true;
    case Fetch::broken:
        return broken("its index claims more requests than there are slots");
    case Fetch::none:
        break;
    }
    return false;
}

TxQueue::Packet& TxQueue::fresh() {
    if (free_.empty()) {
        packets_.push_back(std::make_unique<Packet>(*this));
        free_.push_back(packets_.back().get());
    }
    Packet& packet = *free_.back();
    free_.pop_back();
    packet.offload = {};
    packet.count = 1;
    packet.bytes = 0;
    packet.request_count = packet.lease_count = packet.extras = 0;
    packet.gso = {};
    return packet;
}

/// The next whole packet, well-formed as far as its requests say; nullptr: none, or the ring is broken.
TxQueue::Packet* TxQueue::gather() {
    abi::netif_tx_request first{};
    if (!fetch(first)) {
        return nullptr;
    }
    Packet& packet = fresh();
    packet.requests[packet.request_count++] = first;
    packet.size = first.size;
    if (((first.flags & abi::NETTXF_extra_info) != 0 && !gather_extras(packet)) ||
        ((first.flags & abi::NETTXF_more_data) != 0 && !gather_fragments(packet)) || !well_formed(packet)) {
        free_.push_back(&packet);
        return nullptr;
    }
    return &packet;
}

bool TxQueue::gather_extras(Packet& packet) {
    abi::netif_extra_info extra{};
    do {
        abi::netif_tx_request slot{};
        if (!fetch(slot)) {
            return vif_.stopped ? false : broken("a packet lacks its extra information");
        }
        std::memcpy(&extra, &slot, sizeof(extra));
        if (extra.type == abi::XEN_NETIF_EXTRA_TYPE_NONE || extra.type >= abi::XEN_NETIF_EXTRA_TYPE_MAX ||
            ++packet.extras > most_extras) {
            return broken("extra information of type " + std::to_string(extra.type));
        }
        if (extra.type == abi::XEN_NETIF_EXTRA_TYPE_GSO) {
            packet.gso = extra;
        }
    } while ((extra.flags & abi::XEN_NETIF_EXTRA_FLAG_MORE) != 0);
    return true;
}

bool TxQueue::gather_fragments(Packet& packet) {
    abi::netif_tx_request& first = packet.requests[0];
    bool more = true;
    while (more) {
        if (packet.request_count == most_requests) {
            return broken("a packet of more than " + std::to_string(most_requests) + " requests");
        }
        abi::netif_tx_request& request = packet.requests[packet.request_count];
        if (!fetch(request)) {
            return vif_.stopped ? false : broken("a packet lacks its last requests");
        }
        ++packet.request_count;
        if (request.size > first.size) {
            return broken("a packet's fragments are larger than the packet");
        }
        first.size = static_cast<std::uint16_t>(first.size - request.size); // what is left is the first one's own
        more = (request.flags & abi::NETTXF_more_data) != 0;
    }
    return true;
}

bool TxQueue::well_formed(const Packet& packet) {
    for (unsigned i = 0; i < packet.request_count; ++i) {
        const abi::netif_tx_request& request = packet.requests[i];
        if (request.offset + request.size > page_bytes) {
            return broken("a fragment crosses the end of its page");
        }
    }
    if (packet.gso.type != 0 &&
        (packet.gso.u.gso.size == 0 || (packet.gso.u.gso.type != abi::XEN_NETIF_GSO_TYPE_TCPV4 &&
                                        packet.gso.u.gso.type != abi::XEN_NETIF_GSO_TYPE_TCPV6))) {
        return broken("segments of an unknown kind, or of no size");
    }
    return true;
}

void TxQueue::launch(Packet& packet) {
    if (packet.request_count > abi::XEN_NETIF_NR_SLOTS_MIN || packet.requests[0].size < ethernet_header ||
        !lease(packet)) {
        vif_.counters.tx_errors.add();
        respond(packet, abi::NETIF_RSP_ERROR);
    } else if (!prepare(packet)) {
        vif_.counters.tx_dropped.add();
        respond(packet, abi::NETIF_RSP_OKAY); // as xen-netback: it was taken, and leads nowhere
    } else {
        vif_.endpoint.send(index_, packet);
    }
}

/// Takes the grants; parts[1 ...] are the frame in guest memory.
bool TxQueue::lease(Packet& packet) {
    for (unsigned i = 0; i < packet.request_count; ++i) {
        const abi::netif_tx_request& request = packet.requests[i];
        grants::Lease& lease = packet.leases[i];
        if (vif_.grants.take(grants::GrantRef{request.gref}, grants::GrantAccess::read, lease) !=
            grants::GrantStatus::okay) {
            return false;
        }
        ++packet.lease_count;
        if (request.offset < lease.first || request.offset + request.size > lease.end) {
            return false;
        }
        if (request.size != 0) {
            packet.parts[packet.count++] = {lease.page + request.offset, request.size};
        }
    }
    packet.bytes = packet.size;
    return true;
}

/// Turns the flags of the ring into an offload. The headers are copied before they are looked at, and sent from there:
/// the guest may change its own at any time. False: there is no sense in the packet.
bool TxQueue::prepare(Packet& packet) {
    const unsigned flags = packet.requests[0].flags;
    const bool segments = packet.gso.type != 0;
    if (!segments && (flags & abi::NETTXF_csum_blank) == 0) {
        packet.offload.flags = (flags & abi::NETTXF_data_validated) != 0 ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
        return true;
    }
    const std::span<std::byte> room{packet.headers};
    const std::size_t copied = copy_front(&packet.parts[1], packet.count - 1, room);
    const auto headers = room.first(copied);
    const bool ipv6 = packet.gso.u.gso.type == abi::XEN_NETIF_GSO_TYPE_TCPV6;
    if (segments ? !ask_segments(headers, packet.size, ipv6, packet.gso.u.gso.size, packet.offload)
                 : !ask_checksum(headers, packet.offload)) {
        return false;
    }
    // The copy takes the place of the first bytes.
    std::array<iovec, OutFrame::most_parts> parts{};
    unsigned count = 1;
    parts[count++] = {headers.data(), headers.size()};
    std::size_t skip = copied;
    for (unsigned i = 1; i < packet.count; ++i) {
        const iovec& part = packet.parts[i];
        const std::size_t off = std::min(skip, part.iov_len);
        skip -= off;
        if (off < part.iov_len) {
            parts[count++] = {static_cast<std::byte*>(part.iov_base) + off, part.iov_len - off};
        }
    }
    packet.parts = parts;
    packet.count = count;
    return true;
}

void TxQueue::finished(Packet& packet, int result) {
    if (result < 0) {
        vif_.counters.tx_dropped.add();
    } else {
        vif_.counters.tx_frames.add();
        vif_.counters.tx_bytes.add(packet.size);
        if (packet.gso.type != 0) {
            vif_.counters.tx_segmented.add();
        }
    }
    respond(packet, result < 0 ? abi::NETIF_RSP_DROPPED : abi::NETIF_RSP_OKAY);
}

/// Gives the pages back and answers each slot; the guest is told at the end of the round.
void TxQueue::respond(Packet& packet, int status) {
    for (unsigned i = 0; i < packet.lease_count; ++i) {
        vif_.grants.give_back(packet.leases[i]);
    }
    for (unsigned i = 0; i < packet.request_count; ++i) {
        ring_.respond({packet.requests[i].id, static_cast<std::int16_t>(status)});
        for (unsigned extra = 0; i == 0 && extra < packet.extras; ++extra) {
            ring_.respond({0, abi::NETIF_RSP_NULL});
        }
    }
    free_.push_back(&packet);
    if (!publish_due_) {
        publish_due_ = true;
        defer(vif_, [this] {
            publish_due_ = false;
            if (ring_.publish()) {
                vif_.io.notify(end_.port);
            }
        });
    }
}

} // namespace parapet::net
