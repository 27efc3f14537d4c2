// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/blkif_ring.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

namespace parapet::disk {
namespace {

/// The bytes of a slot seen as another of its structures.
template <typename As, typename Slot>
As as(const Slot& slot) {
    static_assert(sizeof(As) <= sizeof(Slot) && std::is_trivially_copyable_v<As>);
    As other;
    std::memcpy(&other, &slot, sizeof other);
    return other;
}

template <typename W>
void decode(const abi::blkif_request_t<W>& slot, RingRequest& request) {
    request.operation = slot.operation;
    request.indirect = slot.operation == abi::BLKIF_OP_INDIRECT;
    request.id = slot.id; // at the same place in all structures
    if (request.indirect) {
        const auto indirect = as<abi::blkif_request_indirect_t<W>>(slot);
        request.operation = indirect.indirect_op;
        request.nr_segments = indirect.nr_segments;
        request.sector = indirect.sector_number;
        std::copy(std::begin(indirect.indirect_grefs), std::end(indirect.indirect_grefs),
                  request.indirect_refs.begin());
    } else if (slot.operation == abi::BLKIF_OP_DISCARD) {
        const auto discard = as<abi::blkif_request_discard_t<W>>(slot);
        request.flag = discard.flag;
        request.nr_segments = 0;
        request.sector = discard.sector_number;
        request.nr_sectors = discard.nr_sectors;
    } else {
        request.nr_segments = slot.nr_segments;
        request.sector = slot.sector_number;
        std::copy(std::begin(slot.seg), std::end(slot.seg), request.segments.begin());
    }
}

} // namespace

BlkifRing::BlkifRing(rings::RingPages pages, Protocol protocol) {
    if (protocol == Protocol::x86_64) {
        ring_.emplace<Of<std::uint64_t>>(std::move(pages));
    } else {
        ring_.emplace<Of<std::uint32_t>>(std::move(pages));
    }
}

std::uint32_t BlkifRing::slots() const {
    return std::visit([](const auto& ring) { return ring.slots(); }, ring_);
}

BlkifRing::Fetch BlkifRing::fetch(RingRequest& request) {
    const auto from = [&request]<typename W>(Of<W>& ring) {
        abi::blkif_request_t<W> slot;
        switch (ring.fetch(slot)) {
        case Of<W>::Fetch::none:
            return Fetch::none;
        case Of<W>::Fetch::broken:
            return Fetch::broken;
        case Of<W>::Fetch::request:
            break;
        }
        decode<W>(slot, request);
        return Fetch::request;
    };
    if (auto* ring = std::get_if<Of<std::uint64_t>>(&ring_)) {
        return from.operator()<std::uint64_t>(*ring);
    }
    return from.operator()<std::uint32_t>(std::get<Of<std::uint32_t>>(ring_));
}

bool BlkifRing::final_check() {
    return std::visit([](auto& ring) { return ring.final_check(); }, ring_);
}

void BlkifRing::respond(std::uint64_t id, std::uint8_t operation, std::int16_t status) {
    const auto to = [&]<typename W>(Of<W>& ring) {
        abi::blkif_response_t<W> response{};
        response.id = id;
        response.operation = operation;
        response.status = status;
        ring.respond(response);
    };
    if (auto* ring = std::get_if<Of<std::uint64_t>>(&ring_)) {
        to.operator()<std::uint64_t>(*ring);
    } else {
        to.operator()<std::uint32_t>(std::get<Of<std::uint32_t>>(ring_));
    }
}

bool BlkifRing::publish() {
    return std::visit([](auto& ring) { return ring.publish(); }, ring_);
}

} // namespace parapet::disk
