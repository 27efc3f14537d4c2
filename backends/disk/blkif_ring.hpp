// SPDX-License-Identifier: Apache-2.0
// A block ring of either guest width: requests come out in one form, copied once from the shared slot.
#pragma once

#include "iorings/rings/shared_ring.hpp"
#include "pv-abi/blkif.hpp"

#include <array>
#include <cstdint>
#include <variant>

namespace parapet::disk {

enum class Protocol : std::uint8_t { x86_64, x86_32 };

/// A request as it was in the ring: nothing of it is checked, but for its being complete.
struct RingRequest {
    std::uint8_t operation = 0; ///< BLKIF_OP_*; of an indirect request: what it carries (indirect_op)
    bool indirect = false;
    std::uint8_t flag = 0; ///< discard
    std::uint32_t nr_segments = 0;
    std::uint64_t id = 0;
    std::uint64_t sector = 0;
    std::uint64_t nr_sectors = 0; ///< discard
    std::array<abi::blkif_request_segment, abi::BLKIF_MAX_SEGMENTS_PER_REQUEST> segments{};
    std::array<std::uint32_t, abi::BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST> indirect_refs{};
};

class BlkifRing {
    template <typename W>
    using Of = rings::SharedRing<abi::blkif_request_t<W>, abi::blkif_response_t<W>>;

public:
    enum class Fetch : std::uint8_t { none, request, broken };

    BlkifRing() = default;
    BlkifRing(rings::RingPages pages, Protocol protocol);

    [[nodiscard]] std::uint32_t slots() const;
    [[nodiscard]] Fetch fetch(RingRequest& request);
    [[nodiscard]] bool final_check();
    void respond(std::uint64_t id, std::uint8_t operation, std::int16_t status);
    [[nodiscard]] bool publish();

private:
    std::variant<Of<std::uint64_t>, Of<std::uint32_t>> ring_;
};

} // namespace parapet::disk
