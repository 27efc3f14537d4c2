// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/fifo.hpp"

#include "guests/lib/hypercall.hpp"
#include "guests/lib/memory.hpp"

namespace parapet::guest {

void Fifo::alloc() {
    control_page_ = static_cast<unsigned char*>(alloc_page());
    pages_[0] = static_cast<uint32_t*>(alloc_page());
    for (unsigned i = 0; i < fifo_words_per_page; ++i) {
        pages_[0][i] = fifo_masked;
    }
}

long Fifo::init_control(uint32_t offset) {
    evtchn_init_control request{};
    request.control_gfn = virt_to_mfn(control_page_);
    request.offset = offset;
    control_ = reinterpret_cast<evtchn_fifo_control_block*>(control_page_ + offset);
    return event_channel_op(EVTCHNOP_init_control, &request);
}

long Fifo::expand(uint32_t* page) {
    if (page == nullptr && given_ != 0) {
        page = static_cast<uint32_t*>(alloc_page());
        for (unsigned i = 0; i < fifo_words_per_page; ++i) {
            page[i] = fifo_masked;
        }
    }
    evtchn_expand_array request{};
    request.array_gfn = virt_to_mfn(page != nullptr ? page : pages_[0]);
    const long error = event_channel_op(EVTCHNOP_expand_array, &request);
    if (error == 0) {
        pages_[given_] = page != nullptr ? page : pages_[0];
        ++given_;
    }
    return error;
}

evtchn_port_t Fifo::consume(unsigned priority) {
    evtchn_port_t port = heads_[priority];
    if (port == 0) {
        port = control_->head[priority];
    }
    auto* at = const_cast<uint32_t*>(&word(port));
    const uint32_t old = __atomic_fetch_and(at, ~(fifo_linked | fifo_link), __ATOMIC_SEQ_CST);
    heads_[priority] = old & fifo_link;
    if ((old & fifo_link) == 0) {
        ready_ &= ~(1u << priority);
    }
    if ((*at & (fifo_pending | fifo_masked)) != fifo_pending) {
        return 0;
    }
    __atomic_fetch_and(at, ~fifo_pending, __ATOMIC_SEQ_CST);
    return port;
}

evtchn_port_t Fifo::take() {
    for (;;) {
        ready_ |= __atomic_exchange_n(&control_->ready, 0, __ATOMIC_SEQ_CST);
        if (ready_ == 0) {
            return 0;
        }
        if (const evtchn_port_t port = consume(static_cast<unsigned>(__builtin_ctz(ready_))); port != 0) {
            return port;
        }
    }
}

long set_priority(evtchn_port_t port, uint32_t priority) {
    evtchn_set_priority request{port, priority};
    return event_channel_op(EVTCHNOP_set_priority, &request);
}

} // namespace parapet::guest
