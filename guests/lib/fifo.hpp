// SPDX-License-Identifier: Apache-2.0
// The guest's side of the FIFO event-channel ABI, for vCPU 0: control block, event words, taking events off the queues.
#pragma once

#include "guests/lib/abi.hpp"

namespace parapet::guest {

inline constexpr uint32_t fifo_pending = 1u << EVTCHN_FIFO_PENDING, fifo_masked = 1u << EVTCHN_FIFO_MASKED,
                          fifo_linked = 1u << EVTCHN_FIFO_LINKED, fifo_link = (1u << EVTCHN_FIFO_LINK_BITS) - 1;
inline constexpr unsigned fifo_words_per_page = 1024;

class Fifo {
public:
    /// The page of the control block, and the first page of words, all masked.
    void alloc();
    /// EVTCHNOP_init_control at that offset into the page. 0 or -errno.
    long init_control(uint32_t offset = 0);
    /// The next page of words; `page` null: one more is made, all masked. 0 or -errno.
    long expand(uint32_t* page = nullptr);
    /// The word of a port whose page has been given.
    [[nodiscard]] volatile uint32_t& word(evtchn_port_t port) {
        return pages_[port / fifo_words_per_page][port % 1024];
    }
    [[nodiscard]] volatile evtchn_fifo_control_block& control() { return *control_; }
    [[nodiscard]] uint32_t* first_page() const { return pages_[0]; }
    /// The next event by priority that is neither masked nor cleared, 0: none. Its PENDING is cleared.
    evtchn_port_t take();

private:
    evtchn_port_t consume(unsigned priority);

    volatile evtchn_fifo_control_block* control_ = nullptr;
    unsigned char* control_page_ = nullptr;
    uint32_t* pages_[128] = {};
    unsigned given_ = 0;
    uint32_t ready_ = 0;
    evtchn_port_t heads_[EVTCHN_FIFO_MAX_QUEUES] = {};
};

long set_priority(evtchn_port_t port, uint32_t priority);

} // namespace parapet::guest
