// SPDX-License-Identifier: Apache-2.0
#include "guests/lib/block.hpp"

#include "guests/lib/console.hpp"
#include "guests/lib/events.hpp"
#include "guests/lib/front_ring.hpp"
#include "guests/lib/grants.hpp"
#include "guests/lib/time.hpp"

namespace parapet::guest {

unsigned BlockQueue::free_slots() const {
    return static_cast<unsigned>(RING_FREE_REQUESTS(&ring));
}

blkif_request_t& BlockQueue::next() {
    blkif_request_t& request = *RING_GET_REQUEST(&ring, ring.req_prod_pvt);
    ++ring.req_prod_pvt;
    memset(&request, 0, sizeof(request));
    return request;
}

void BlockQueue::push() {
    push_requests(ring, port);
}

bool BlockQueue::take(blkif_response_t& response, unsigned milliseconds) {
    return take_response(ring, port, milliseconds, response);
}

void BlockDevice::read_offers() {
    offers_.sectors = bus.backend_number("sectors");
    offers_.sector_size = static_cast<unsigned>(bus.backend_number("sector-size", sector_bytes));
    offers_.read_only = (bus.backend_number("info") & VDISK_READONLY) != 0;
    offers_.flush = bus.backend_number("feature-flush-cache") != 0;
    offers_.barrier = bus.backend_number("feature-barrier") != 0;
    offers_.discard = bus.backend_number("feature-discard") != 0;
    offers_.persistent = bus.backend_number("feature-persistent") != 0;
    offers_.indirect_segments = static_cast<unsigned>(bus.backend_number("feature-max-indirect-segments"));
    offers_.queues = static_cast<unsigned>(bus.backend_number("multi-queue-max-queues", 1));
    offers_.ring_pages = 1u << bus.backend_number("max-ring-page-order");
}

bool BlockDevice::open(unsigned number) {
    id = number;
    if (!bus.open("vbd", number) || bus.wait_backend(state_bit(XenbusStateInitWait)) == 0) {
        return false;
    }
    read_offers();
    return true;
}

bool BlockDevice::publish_queue(unsigned index, const BlockOptions& options, const char* prefix) {
    BlockQueue& queue = queues_[index];
    if (pages_[index] == nullptr) {
        pages_[index] = alloc_pages(most_ring_pages);
    }
    memset(pages_[index], 0, options.ring_pages * page_size);
    auto* shared = static_cast<blkif_sring_t*>(pages_[index]);
    SHARED_RING_INIT(shared);
    shared->req_prod = shared->rsp_prod = options.first_index;
    shared->req_event = shared->rsp_event = options.first_index + 1;
    FRONT_RING_ATTACH(&queue.ring, shared, options.first_index, options.ring_pages * page_size);
    const long port = alloc_port();
    if (port < 0) {
        return false;
    }
    queue.port = static_cast<evtchn_port_t>(port);
    char node[40];
    print_to(node, sizeof(node), "%sevent-channel", prefix);
    bool ok = bus.write(node, queue.port);
    for (unsigned i = 0; i < options.ring_pages; ++i) {
        ring_refs_[index][i] = grant_page(static_cast<char*>(pages_[index]) + i * page_size);
        if (options.ring_pages == 1) {
            print_to(node, sizeof(node), "%sring-ref", prefix);
        } else {
            print_to(node, sizeof(node), "%sring-ref%u", prefix, i);
        }
        ok = bus.write(node, ring_refs_[index][i]) && ok;
    }
    return ok;
}

bool BlockDevice::publish(const BlockOptions& options) {
    used_queues_ = options.queues;
    bool ok = bus.write("protocol", XEN_IO_PROTO_ABI_X86_64) &&
              bus.write("feature-persistent", options.persistent ? "1" : "0");
    // Gone, not just changed, where they are not used: nodes of an earlier connection.
    bus.remove("ring-page-order");
    bus.remove("num-ring-pages");
    bus.remove("multi-queue-num-queues");
    if (options.ring_pages > 1) {
        unsigned order = 0;
        while ((1u << order) < options.ring_pages) {
            ++order;
        }
        ok = bus.write("ring-page-order", order) && bus.write("num-ring-pages", options.ring_pages) && ok;
    }
    if (options.queues > 1) {
        ok = bus.write("multi-queue-num-queues", options.queues) && ok;
    }
    for (unsigned i = 0; i < options.queues; ++i) {
        char prefix[16] = "";
        if (options.queues > 1) {
            print_to(prefix, sizeof(prefix), "queue-%u/", i);
        }
        ok = publish_queue(i, options, prefix) && ok;
    }
    return ok;
}

bool BlockDevice::connect(const BlockOptions& options) {
    constexpr unsigned ends = state_bit(XenbusStateConnected) | state_bit(XenbusStateClosing) |
                              state_bit(XenbusStateClosed) | state_bit(XenbusStateUnknown);
    if (!publish(options) || !bus.set_state(XenbusStateInitialised) || bus.wait_backend(ends) != XenbusStateConnected) {
        return false;
    }
    read_offers();
    return bus.set_state(XenbusStateConnected);
}

bool BlockDevice::close() {
    bool ok = bus.restart();
    for (unsigned i = 0; i < used_queues_; ++i) {
        for (grant_ref_t& ref : ring_refs_[i]) {
            ok = (ref == no_grant || grant_end(ref)) && ok;
            ref = no_grant;
        }
        close_port(queues_[i].port);
    }
    used_queues_ = 0;
    for (unsigned slot = 0; slot < indirect_slots; ++slot) {
        ok = end_indirect(slot) && ok;
    }
    return ok;
}

void BlockDevice::post(unsigned queue, uint8_t operation, uint64_t number, uint64_t sector,
                       const blkif_request_segment* segments, unsigned count) {
    blkif_request_t& request = queues_[queue].next();
    if (count <= BLKIF_MAX_SEGMENTS_PER_REQUEST) {
        request.operation = operation;
        request.nr_segments = static_cast<uint8_t>(count);
        request.handle = static_cast<blkif_vdev_t>(id);
        request.id = number;
        request.sector_number = sector;
        memcpy(request.seg, segments, count * sizeof(*segments));
        return;
    }
    const unsigned slot = number % indirect_slots;
    if (indirect_pages_[slot] == nullptr) {
        indirect_pages_[slot] = alloc_page();
    }
    memcpy(indirect_pages_[slot], segments, count * sizeof(*segments));
    if (indirect_refs_[slot] == no_grant) {
        indirect_refs_[slot] = grant_page(indirect_pages_[slot], true);
    }
    auto& indirect = reinterpret_cast<blkif_request_indirect_t&>(request);
    indirect.operation = BLKIF_OP_INDIRECT;
    indirect.indirect_op = operation;
    indirect.nr_segments = static_cast<uint16_t>(count);
    indirect.handle = static_cast<blkif_vdev_t>(id);
    indirect.id = number;
    indirect.sector_number = sector;
    indirect.indirect_grefs[0] = indirect_refs_[slot];
}

bool BlockDevice::end_indirect(uint64_t number) {
    grant_ref_t& ref = indirect_refs_[number % indirect_slots];
    const bool ok = ref == no_grant || grant_end(ref);
    ref = no_grant;
    return ok;
}

} // namespace parapet::guest
