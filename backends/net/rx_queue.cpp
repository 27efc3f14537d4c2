// SPDX-License-Identifier: Apache-2.0
#include "backends/net/rx_queue.hpp"

#include <algorithm>
#include <cstring>

namespace parapet::net {

using Fetch = rings::SharedRing<abi::netif_rx_request, abi::netif_rx_response>::Fetch;

namespace {

constexpr std::size_t page_bytes = GuestFrames::frame_size;
constexpr std::size_t few_pages = 2;                          // offered while frames are small
constexpr unsigned remember_large = 16;                       // frames
constexpr auto poll_interval = std::chrono::milliseconds{30}; // as xen-netback

/// Where a frame's page lies in the slots: after the first comes the GSO information, if there is any.
std::size_t slot_of(std::size_t page, bool segments) {
    return page + (segments && page != 0 ? 1 : 0);
}

} // namespace

RxQueue::RxQueue(VifContext& vif, unsigned index, RingEnd end)
    : vif_{vif}, index_{index}, end_{end}, ring_{rings::RingPages{{end.page.page}}},
      overflow_(most_frame_pages * page_bytes) {}

void RxQueue::pump() {
    // A read may be under way for long: an impossible index is not to wait for its end.
    if (!vif_.stopped && ring_.broken()) {
        fail();
    }
    for (unsigned frames = 0; !vif_.stopped && !reading_; ++frames) {
        if (frames == budget) {
            if (!again_due_) {
                again_due_ = true;
                later(vif_, [this] {
                    again_due_ = false;
                    pump();
                });
            }
            return;
        }
        if (staged_ != 0) {
            if (!deliver(staged_)) {
                return;
            }
            staged_ = 0;
        }
        if (!offer()) {
            return;
        }
        reading_ = true;
        const int bytes = vif_.endpoint.receive(index_, *this);
        if (bytes == 0) {
            return;
        }
        reading_ = false;
        staged_ = static_cast<std::size_t>(bytes);
    }
}

void RxQueue::received(int result) {
    reading_ = false;
    if (result > 0) {
        staged_ = static_cast<std::size_t>(result);
        pump();
    }
}

void RxQueue::fail() {
    vif_.stopped = true;
    vif_.fail("the frontend's receive ring is broken: its index claims more requests than there are slots");
}

/// Takes requests until there is room for the largest frame, or there are no more.
void RxQueue::fill() {
    while (slots_.size() < most_slots && !vif_.stopped) {
        Slot slot;
        const Fetch fetched = ring_.fetch(slot.request);
        if (fetched == Fetch::broken) {
            fail();
            return;
        }
        if (fetched == Fetch::none) {
            if (ring_.final_check()) {
                continue;
            }
            if (!vif_.features.rx_notify) {
                poll_.start(vif_.io, poll_interval, [this] { pump(); });
            }
            return;
        }
        slot.usable = vif_.grants.take(grants::GrantRef{slot.request.gref}, grants::GrantAccess::write, slot.lease) ==
                      grants::GrantStatus::okay;
        if (slot.usable && (slot.lease.first != 0 || slot.lease.end != page_bytes)) {
            vif_.grants.give_back(slot.lease); // a part of a page is no receive buffer
            slot.usable = false;
        }
        slots_.push_back(slot);
    }
}

/// Slots from the first on that a packet can have.
std::size_t RxQueue::usable() const {
    const auto bad = std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.usable; });
    return static_cast<std::size_t>(bad - slots_.begin());
}

/// Sets up the parts for the next read. False: no page to read into.
bool RxQueue::offer() {
    fill();
    while (!slots_.empty() && !slots_.front().usable) {
        vif_.counters.rx_errors.add();
        drop_first(1, abi::NETIF_RSP_ERROR);
        fill();
    }
    const std::size_t have = usable();
    if (have == 0 || vif_.stopped) {
        return false;
    }
    offered_for_segments_ = expect_segments_ && have > 2;
    const std::size_t room = have - (offered_for_segments_ ? 1 : 0);
    offered_ = !vif_.features.scatter ? 1 : std::min(room, large_lately_ != 0 ? most_frame_pages : few_pages);
    count = 1;
    for (std::size_t page = 0; page < offered_; ++page) {
        parts[count++] = {slots_[slot_of(page, offered_for_segments_)].lease.page, page_bytes};
    }
    parts[count++] = {overflow_.data(), overflow_.size() - offered_ * page_bytes};
    return true;
}

std::byte* RxQueue::source(std::size_t page) {
    return page < offered_ ? slots_[slot_of(page, offered_for_segments_)].lease.page
                           : overflow_.data() + (page - offered_) * page_bytes;
}

/// Hands a frame that has been read to the guest, or drops it. False: it has to wait for more slots.
bool RxQueue::deliver(std::size_t bytes) {
    const bool segments = offload.gso_type != VIRTIO_NET_HDR_GSO_NONE;
    const std::size_t pages = (bytes + page_bytes - 1) / page_bytes;
    const std::size_t needed = pages + (segments ? 1 : 0);
    fill();
    if (vif_.stopped) {
        return false;
    }
    const bool impossible = needed > (vif_.features.scatter ? most_slots : 1);
    if (impossible || (usable() < needed && usable() < slots_.size())) {
        vif_.counters.rx_dropped.add(); // its place in the slots is free for the next
        return true;
    }
    if (usable() < needed) {
        return false;
    }
    place(bytes, segments);
    answer(bytes, segments);
    vif_.counters.rx_frames.add();
    vif_.counters.rx_bytes.add(bytes);
    if (segments) {
        vif_.counters.rx_segmented.add();
    }
    large_lately_ = pages > few_pages ? remember_large : large_lately_ - (large_lately_ != 0 ? 1 : 0);
    expect_segments_ = pages > 1 ? segments : expect_segments_;
    return true;
}

/// Moves the frame's pages to where they belong.
void RxQueue::place(std::size_t bytes, bool segments) {
    const std::size_t pages = (bytes + page_bytes - 1) / page_bytes;
    const bool upwards = segments && !offered_for_segments_; // the last page first, then
    for (std::size_t i = 1; i < pages; ++i) {
        const std::size_t page = upwards ? pages - i : i;
        std::byte* to = slots_[slot_of(page, segments)].lease.page;
        if (const std::byte* from = source(page); from != to) {
            std::memcpy(to, from, std::min(page_bytes, bytes - page * page_bytes));
        }
    }
}

void RxQueue::answer(std::size_t bytes, bool segments) {
    const std::size_t pages = (bytes + page_bytes - 1) / page_bytes;
    for (std::size_t page = 0; page < pages; ++page) {
        unsigned flags = page + 1 < pages ? abi::NETRXF_more_data : 0;
        if (page == 0) {
            flags |= (offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0
                         ? abi::NETRXF_csum_blank | abi::NETRXF_data_validated
                     : (offload.flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0 ? abi::NETRXF_data_validated
                                                                          : 0;
            flags |= segments ? abi::NETRXF_extra_info : 0;
        }
        const Slot& slot = slots_[slot_of(page, segments)];
        const std::size_t part = std::min(page_bytes, bytes - page * page_bytes);
        ring_.respond({slot.request.id, 0, static_cast<std::uint16_t>(flags), static_cast<std::int16_t>(part)});
        if (page == 0 && segments) {
            abi::netif_extra_info extra{};
            extra.type = abi::XEN_NETIF_EXTRA_TYPE_GSO;
            extra.u.gso.size = offload.gso_size;
            extra.u.gso.type = (offload.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6
                                   ? abi::XEN_NETIF_GSO_TYPE_TCPV6
                                   : abi::XEN_NETIF_GSO_TYPE_TCPV4;
            abi::netif_rx_response in_its_slot{};
            static_assert(sizeof(extra) == sizeof(in_its_slot));
            std::memcpy(&in_its_slot, &extra, sizeof(extra));
            ring_.respond(in_its_slot);
        }
    }
    for (std::size_t i = 0; i < pages + (segments ? 1 : 0); ++i) {
        vif_.grants.give_back(slots_.front().lease);
        slots_.pop_front();
    }
    answered();
}

void RxQueue::drop_first(std::size_t slots, int status) {
    for (std::size_t i = 0; i < slots; ++i) {
        const Slot slot = slots_.front();
        slots_.pop_front();
        ring_.respond({slot.request.id, 0, 0, static_cast<std::int16_t>(status)});
    }
    answered();
}

void RxQueue::answered() {
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

void RxQueue::release() {
    for (const Slot& slot : std::exchange(slots_, {})) {
        if (slot.usable) {
            vif_.grants.give_back(slot.lease);
        }
    }
}

} // namespace parapet::net
