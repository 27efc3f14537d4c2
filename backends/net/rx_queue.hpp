// SPDX-License-Identifier: Apache-2.0
// Guest receive: the endpoint reads frames straight into pages that the guest has offered. The responses stand in the
// slots of the requests whose pages they used (netfront relies on it), so with GSO information in a packet's second
// slot that slot's page stays empty:
//
//   slot   k          k+1           k+2 …            k         k+1 …
//          bytes 0…   GSO (extra)   4096…            bytes 0…  4096…        without
//
// Whether a frame has it is known only when it has been read; the last large one is the guess, and a wrong guess costs
// a copy. What the offered pages cannot hold goes into a buffer of ours, until there are more.
#pragma once

#include "backends/net/timer.hpp"
#include "backends/net/vif_queue.hpp"
#include "iorings/rings/shared_ring.hpp"
#include "pv-abi/netif.hpp"

#include <deque>
#include <vector>

namespace parapet::net {

class RxQueue final : public InFrame {
public:
    RxQueue(VifContext& vif, unsigned index, RingEnd end);
    RxQueue(const RxQueue&) = delete;
    RxQueue& operator=(const RxQueue&) = delete;

    /// Reads as long as there are pages; call it when the guest may have offered some.
    void pump();
    /// Gives all pages back. No read is waiting any more.
    void release();
    void received(int result) override;
    [[nodiscard]] const RingEnd& end() const { return end_; }

private:
    static constexpr std::size_t most_slots = most_frame_pages + 1;
    static constexpr unsigned budget = 64; ///< frames of one round

    struct Slot {
        abi::netif_rx_request request{};
        grants::Lease lease{};
        bool usable = false;
    };

    void fail();
    void fill();
    bool offer();
    bool deliver(std::size_t bytes);
    void place(std::size_t bytes, bool segments);
    void answer(std::size_t bytes, bool segments);
    void drop_first(std::size_t slots, int status);
    void answered();
    [[nodiscard]] std::size_t usable() const;
    [[nodiscard]] std::byte* source(std::size_t page);

    VifContext& vif_;
    unsigned index_;
    RingEnd end_;
    rings::SharedRing<abi::netif_rx_request, abi::netif_rx_response> ring_;
    std::deque<Slot> slots_;          ///< requests taken and not answered, in order
    std::vector<std::byte> overflow_; ///< of the frame that is being read
    std::size_t offered_ = 0;         ///< pages of slots_ in that frame
    bool offered_for_segments_ = false;
    std::size_t staged_ = 0; ///< bytes of a frame that was read and waits for slots; 0: none
    bool reading_ = false;
    bool expect_segments_ = false;
    unsigned large_lately_ = 0;
    bool publish_due_ = false, again_due_ = false;
    Timer poll_; ///< for frontends that do not say when they offer
};

} // namespace parapet::net
